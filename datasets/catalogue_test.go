package datasets

import (
	"regexp"
	"strings"
	"testing"
)

func TestCatalogue(t *testing.T) {
	checksum := regexp.MustCompile(`^(sha256:[0-9a-f]{64}|md5:[0-9a-f]{32}|git:[0-9a-f]{40}|)$`)
	seen := map[string]bool{}
	for _, e := range Catalogue() {
		if seen[e.Name] || e.Name == "" || e.Name != strings.ToLower(e.Name) || strings.ContainsAny(e.Name, "/ ") {
			t.Errorf("name %q", e.Name)
		}
		seen[e.Name] = true
		if e.T < 1 || e.N < 1 || e.Step <= 0 || e.Unit == "" || e.Title == "" || e.Licence == "" || !strings.HasPrefix(e.Source, "https://") {
			t.Errorf("%s is incomplete: %+v", e.Name, e)
		}
		if (len(e.Files) == 0) != (e.ByHand != "") {
			t.Errorf("%s: either files or the way to get them by hand", e.Name)
		}
		names := map[string]bool{"": true}
		for _, f := range e.Files {
			names[f.Name] = true
			if !strings.HasPrefix(f.URL, "https://") || !checksum.MatchString(f.Checksum) || !strings.Contains(f.URL, f.Name) {
				t.Errorf("%s: file %+v", e.Name, f)
			}
		}
		if len(e.Files) > 0 && (!names[e.file] || !names[e.graph] || !names[e.coords] || !names[e.nodes]) {
			t.Errorf("%s reads a file that it doesn't download", e.Name)
		}
		if command := e.ImportCommand("in"); !strings.HasPrefix(command, "stprune data import in/"+e.file+" --name "+e.Name+" --step ") {
			t.Errorf("%s: command %s", e.Name, command)
		}
	}
	for _, name := range strings.Fields("metr-la pems-bay pems03 pems04 pems07 pems08 largest-sd largest-gba largest-gla largest-ca urbanev knowair") {
		if !seen[name] {
			t.Errorf("%s is not in the catalogue", name)
		}
	}
	message := (&ByHandError{Catalogue()[0]}).Error()
	for _, says := range []string{"KnowAir.npy", "https://drive.google.com", "stprune data import KnowAir.npy --name knowair --step 3h --missing nan --channel 17 --start 2015-01-01 --unit µg/m³"} {
		if !strings.Contains(message, says) {
			t.Errorf("%q is not in %s", says, message)
		}
	}
}
