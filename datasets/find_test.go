package datasets

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestFind(t *testing.T) {
	one, two := t.TempDir(), t.TempDir()
	for _, dir := range []string{filepath.Join(one, "city"), filepath.Join(two, "city"), filepath.Join(two, "pems-bay-67"), filepath.Join(two, ".hidden")} {
		if err := Save(dir, small(), Card{Note: dir}); err != nil {
			t.Fatal(err)
		}
	}
	folders := []string{filepath.Join(one, "absent"), one, two}
	for name, want := range map[string]string{
		"city":                           filepath.Join(one, "city"),
		"pems-bay-67":                    filepath.Join(two, "pems-bay-67"),
		filepath.Join(two, "city"):       filepath.Join(two, "city"),
		filepath.Join(two, "city") + "/": filepath.Join(two, "city"),
	} {
		if got, err := Find(name, folders); err != nil || got != want {
			t.Errorf("%s: %s, %v; %s expected", name, got, err, want)
		}
	}
	for name, says := range map[string][]string{
		"pems-bay-76":                {"pems-bay-67", one, two},
		"pems-bay67":                 {"pems-bay-67"},
		"citty":                      {"city"},
		"metr-la":                    {"stprune data get metr-la"},
		"nothing-like-it":            {one, two},
		"":                           {one},
		filepath.Join(two, "absent"): {"absent"},
		"../city":                    {"../city"},
	} {
		_, err := Find(name, folders)
		if !errors.Is(err, ErrNotFound) {
			t.Errorf("%s: error %v; %v expected", name, err, ErrNotFound)
			continue
		}
		for _, s := range says {
			if !strings.Contains(err.Error(), s) {
				t.Errorf("%s: %q is not in the error %v", name, s, err)
			}
		}
	}
	list := List(folders)
	if len(list) != 2 || list[0].Dir != filepath.Join(one, "city") || list[1].Name != "pems-bay-67" || list[1].Card.N != 3 || list[1].Err != nil {
		t.Errorf("listed %+v", list)
	}
}

func TestFolders(t *testing.T) {
	t.Setenv(FoldersVariable, "/a"+string(os.PathListSeparator)+string(os.PathListSeparator)+"/b")
	if got := Folders(); !slices.Equal(got, []string{"/a", "/b"}) {
		t.Errorf("folders %v", got)
	}
	t.Setenv(FoldersVariable, "")
	t.Setenv("XDG_CACHE_HOME", "/cache")
	t.Setenv("HOME", "/home/x")
	if got := Folders(); len(got) != 1 || !strings.HasSuffix(got[0], filepath.Join("stprune", "data")) {
		t.Errorf("folders %v", got)
	}
}
