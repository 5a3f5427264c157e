package lab

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stprune/workbench/stprune/loss"
	"github.com/stprune/workbench/stprune/run"
	"github.com/stprune/workbench/stprune/train"
)

func TestExplore(t *testing.T) {
	var pages []string
	printed, err := small(t, func(l *Lab) {
		spec := Spec("small")
		specs := Methods(spec, "full")
		for _, m := range Methods(spec, "st-prune", "random") {
			m.Name += " <a&b>"
			specs = append(specs, l.Ratios(m, 0.2, 0.5)...)
		}
		runs := l.Runs(tiny(specs[:4])...) // st-prune at two ratios, random at one
		for range 2 {
			l.Explore("explore", runs...)
			page, err := os.ReadFile(filepath.Join(l.Figures, "explore.html"))
			l.Fail(err)
			pages = append(pages, string(page))
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(printed, "explore.html\n") || pages[0] != pages[1] {
		t.Errorf("printed %q; two pages of the same runs are equal: %v", printed, pages[0] == pages[1])
	}
	static, script, _ := strings.Cut(pages[0], "<script>")
	if strings.Count(static, `<img width="864"`) != 1 || strings.Count(static, `<img width="416"`) != 1 || !strings.Contains(static, "st-prune &lt;a&amp;b&gt; at 20 %") || strings.Contains(static, "<svg") {
		t.Errorf("without its script the page is\n%.2000s", static)
	}
	call := regexp.MustCompile(`, (\d), (\d), "([A-Za-z0-9+/=]+)"\)</script>`).FindStringSubmatch(script)
	if call == nil {
		t.Fatalf("the script ends with %s", script[max(0, len(script)-200):])
	}
	packed, err := base64.StdEncoding.DecodeString(call[3])
	if err != nil {
		t.Fatal(err)
	}
	unpacked, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		t.Fatal(err)
	}
	var methods []explored
	if err := json.NewDecoder(unpacked).Decode(&methods); err != nil {
		t.Fatal(err)
	}
	if len(methods) != 2 || !slices.Equal(methods[0].Ratio, []string{"20 %", "50 %"}) || !slices.Equal(methods[1].Ratio, []string{"20 %"}) || call[1] != "0" || call[2] != "0" {
		t.Fatalf("%d methods, ratios %v; begins with %s, %s", len(methods), methods[0].Ratio, call[1], call[2])
	}
	if name := methods[0].Name; name != "st-prune <a&b>" {
		t.Errorf("the first method is called %q", name)
	}
	seen := map[string]bool{}
	for _, m := range methods {
		for _, v := range m.View {
			if strings.Count(v, "<svg") != 2 || !strings.Contains(v, "width:864px") || strings.Count(v, "<tr>") != 3 || strings.Contains(v, "<?xml") || seen[v] {
				t.Errorf("%s: its view lacks a figure or a row, or was there before:\n%.1000s", m.Name, v)
			}
			seen[v] = true
		}
	}
}

func TestExploreNamesBadInput(t *testing.T) {
	_, err := small(t, func(l *Lab) {
		l.Explore("explore", l.Run(tiny(l.FourWays("small", 0.2))[1]))
		t.Error("the cell went on")
	})
	if err == nil || !strings.Contains(err.Error(), "no pruned run given") {
		t.Errorf("error %v, want one that says what is missing", err)
	}
}

func TestLiveCurve(t *testing.T) {
	points := func(c *cell) (losses, measured []string) {
		lines := regexp.MustCompile(`points="([^"]*)"`).FindAllStringSubmatch(c.curve(1), -1)
		if len(lines) != 2 {
			t.Fatalf("%d lines", len(lines))
		}
		return strings.Fields(lines[0][1]), strings.Fields(lines[1][1])
	}
	c := &cell{title: "run"}
	for step := range 1000 {
		v := math.Exp(-float64(step) / 100)
		switch step {
		case 100, 101, 102, 103, 104, 105: // not all of a pixel
			v = math.NaN()
		case 200:
			v = math.Inf(1)
		}
		c.step(train.Progress{Epoch: 1 + step/500, Epochs: 2, Step: 500 + step + 1, Steps: 1500, Loss: v})
		if (step+1)%500 == 0 {
			c.epoch(run.Epoch{Best: true, Validation: &loss.Metrics{Mean: loss.Errors{MAE: 2 - float64(step)/1000}}})
		}
	}
	losses, measured := points(c)
	if len(losses) < curveWidth*2/3-4 || len(losses) > curveWidth*2/3+1 || losses[0] != "53,1.0" || losses[len(losses)-1] != "159,27.0" {
		t.Errorf("losses %v; want the last two thirds of the width, from top to bottom", losses)
	}
	if !slices.Equal(measured, []string{"106,1.0", "159,27.0"}) {
		t.Errorf("validation %v; want the end of each epoch", measured)
	}
	if losses, measured := points(&cell{}); len(losses)+len(measured) > 0 {
		t.Errorf("before the first step there are points %v and %v", losses, measured)
	}
}
