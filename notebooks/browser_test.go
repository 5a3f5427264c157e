//go:build browser

package notebooks

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/stprune/workbench/stprune/run"
)

// This test is not among the others, since it needs Chromium; .ci/browser runs it. It uses the notebooks as people do: JupyterLab from
// `make notebook`, the mouse and the keyboard of a real browser. Screenshots go to the folder STPRUNE_SCREENSHOTS.
func TestBrowser(t *testing.T) {
	root := project(t)
	work := t.TempDir()
	paths, err := filepath.Glob("*.ipynb")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no notebook (%v)", err)
	}
	for _, path := range paths { // JupyterLab saves what it shows
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(work, path), content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("STPRUNE_RUNS", t.TempDir())
	t.Setenv("STPRUNE_DATA", t.TempDir())
	lab := startLab(t, root, work)
	t.Run("loopback and token", func(t *testing.T) { checkAccess(t, lab) })

	browser := startBrowser(t)
	for _, path := range paths {
		t.Run("stored "+path, func(t *testing.T) {
			p := open(t, browser, lab, path)
			p.shoot("stored-" + path)
			if wide := eval[string](p, tooWide); wide != "" {
				t.Errorf("wider than its place: %s", wide)
			}
			if n := eval[int](p, `[...document.querySelectorAll(".jp-Notebook img")].filter(i => !i.naturalWidth).length`); n > 0 {
				t.Errorf("%d pictures do not load", n)
			}
		})
	}
	t.Run("02", func(t *testing.T) {
		p := open(t, browser, lab, "02_ratios.ipynb")
		if !eval[bool](p, `!document.querySelector(".stprune-explorer :is(select, input)") && document.querySelector(".stprune-explorer img").width > 300`) {
			t.Error("not trusted, the explorer does not show its first figure alone")
		}

		p.runAll()
		p.wait(time.Minute, `document.querySelector(".jp-OutputArea-output progress")?.value > 300`)
		p.shoot("training")
		p.click(`[data-jp-item-name="interrupt"]`)
		p.wait(10*time.Second, `document.querySelector(".jp-Notebook").innerText.includes("is saved and resumes when asked for again")`)
		p.shoot("interrupted")
		finished := func() int {
			runs, err := run.NewStore(os.Getenv("STPRUNE_RUNS")).List("status=finished")
			if err != nil {
				t.Fatal(err)
			}
			return len(runs)
		}
		if n := finished(); n != 0 {
			t.Errorf("%d runs finished before the interrupt", n)
		}

		p.runAll()
		p.wait(time.Minute, `document.querySelector(".jp-Notebook").innerText.includes("resumes after epoch")`)
		p.wait(6*time.Minute, `[...document.querySelectorAll(".jp-CodeCell .jp-InputPrompt")].every(p => /\d/.test(p.textContent))`)
		p.shoot("finished")
		if text := eval[string](p, `[...document.querySelectorAll("[data-mime-type*=error], [data-mime-type*=stderr]")].map(e => e.innerText).join("\n")`); text != "" {
			t.Errorf("cells say %s", text)
		}
		if n := finished(); n != 15 {
			t.Errorf("%d runs finished, want 15", n)
		}
		if n := eval[int](p, `document.querySelectorAll(".jp-Notebook progress").length`); n > 0 {
			t.Errorf("%d bars are left", n)
		}

		const explorer = ".stprune-explorer "
		seen := map[string]string{}
		look := func(how, ratio string) {
			t.Helper()
			p.wait(5*time.Second, fmt.Sprintf(`document.querySelector("%s output").value == %q`, explorer, ratio))
			view := eval[string](p, `document.querySelector(".stprune-explorer > :nth-child(2)").innerHTML`)
			at, ok := seen[view]
			if ok || eval[float64](p, `document.querySelector(".stprune-explorer svg").getBoundingClientRect().width`) < 300 {
				t.Errorf("%s: the explorer shows the same as %q, or its figure is too small", how, at)
			}
			seen[view] = how
			p.shoot("explorer-"+how, explorer)
		}
		look("first", "10 %")
		p.press(explorer+"input", kb.ArrowLeft)
		look("left", "3 %")
		p.press(explorer+"input", kb.End)
		look("end", "30 %")
		p.press(explorer+"select", kb.ArrowDown)
		look("random", "30 %")
	})
	t.Run("report", func(t *testing.T) { checkReport(t, browser, root) })
}

// checkReport makes a report for others and opens its page on a wide screen and on a phone's.
func checkReport(t *testing.T, browser context.Context, root string) {
	folder := t.TempDir()
	study := filepath.Join(folder, "study.toml")
	const text = `
methods = ["st-prune", { name = "st-prune", label = "unscored", prune.gamma = 0.0 }, "random"]
rho = [0.3, 0.1]
seeds = [1, 2]
[data]
name = "town"
[train]
epochs = 4
unit = "pair"
batch = 512
`
	if err := os.WriteFile(study, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	t.Setenv("STPRUNE_RUNS", filepath.Join(folder, "runs"))
	for _, command := range []string{"data synth --nodes 6 --days 8 --name town --replace", "compare " + study, "report " + study + " --out " + filepath.Join(folder, "page")} {
		cmd := exec.CommandContext(t.Context(), filepath.Join(root, "bin", "stprune"), strings.Fields(command)...)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("stprune %s: %v\n%s", command, err, out)
		}
	}
	ctx, cancel := chromedp.NewContext(browser)
	defer cancel()
	p := &page{t: t, ctx: ctx}
	if err := chromedp.Do(ctx); err != nil {
		t.Fatal(err)
	}
	for _, screen := range []struct {
		name  string
		width int64
	}{{"wide", 1300}, {"phone", 390}} {
		p.do(chromedp.EmulateViewport(screen.width, 1000), chromedp.Navigate("file://"+filepath.Join(folder, "page", "index.html")))
		p.wait(10*time.Second, `document.readyState == "complete"`)
		if n, small := eval[int](p, `document.querySelectorAll("svg").length`), eval[int](p, `[...document.querySelectorAll("svg")].filter(s => s.getBoundingClientRect().width < 200).length`); n < 5 || small > 0 {
			t.Errorf("%s: %d of %d figures are too small", screen.name, small, n)
		}
		if wide := eval[int](p, `document.documentElement.scrollWidth`); wide > int(screen.width) {
			t.Errorf("%s: the page is %d pixels wide", screen.name, wide)
		}
		if broken := eval[string](p, `[...document.querySelectorAll('a[href^="#"]')].filter(a => !document.getElementById(a.hash.slice(1))).map(a => a.hash).join()`); broken != "" {
			t.Errorf("%s: links to nothing: %s", screen.name, broken)
		}
		p.do(chromedp.EmulateViewport(screen.width, min(16000, eval[int64](p, `document.documentElement.scrollHeight`))))
		p.shoot("report-" + screen.name)
	}
}

// tooWide names what a notebook shows and does not fit, with its cell.
const tooWide = `[...document.querySelectorAll(".jp-Notebook .jp-OutputArea-output, .jp-MarkdownOutput")]
	.filter(e => e.scrollWidth > e.clientWidth + 1).map(e => e.innerText.slice(0, 60) + " (" + e.scrollWidth + " > " + e.clientWidth + " pixels)").join("; ")`

// startLab runs `make notebook` on a folder of notebooks, and returns the address with the token that it prints.
func startLab(t *testing.T, root, notebooks string) *url.URL {
	t.Helper()
	own := t.TempDir() // nothing that was trusted or laid out before
	jupyter := fmt.Sprintf("JUPYTER_CONFIG_DIR=%[1]s/config JUPYTER_DATA_DIR=%[1]s/data JUPYTER_RUNTIME_DIR=%[1]s/run IPYTHONDIR=%[1]s/ipython", own)
	cmd := exec.Command("make", "notebook", "NOTEBOOKS="+notebooks, "JUPYTER="+jupyter, "ARGS=--no-browser --port 0 --expose-app-in-browser")
	cmd.Dir = root
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = write, write
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	_ = write.Close()
	ended := make(chan struct{})
	found := make(chan *url.URL, 1)
	go func() {
		defer close(ended)
		address := regexp.MustCompile(`http://127\.0\.0\.1:\d+/lab\?token=[0-9a-f]+`)
		for s := bufio.NewScanner(read); s.Scan(); {
			t.Log(s.Text())
			if u, err := url.Parse(address.FindString(s.Text())); err == nil && u.Host != "" {
				select {
				case found <- u:
				default:
				}
			}
		}
		_ = cmd.Wait()
	}()
	t.Cleanup(func() { // the server ends its kernels
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM)
		select {
		case <-ended:
		case <-time.After(30 * time.Second):
			t.Error("JupyterLab does not end")
			_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
			<-ended
		}
	})
	select {
	case u := <-found: // printed before the server listens
		for range 100 {
			if c, err := net.Dial("tcp", u.Host); err == nil {
				_ = c.Close()
				return u
			}
			time.Sleep(100 * time.Millisecond)
		}
		t.Fatalf("nothing listens on %s", u.Host)
	case <-ended:
		t.Fatal("`make notebook` ended")
	case <-time.After(3 * time.Minute):
		t.Fatal("`make notebook` prints no address")
	}
	return nil
}

// checkAccess checks that the server listens on the loopback address alone, and answers nobody without the token.
func checkAccess(t *testing.T, lab *url.URL) {
	for query, want := range map[string]int{"": http.StatusForbidden, "?token=0123": http.StatusForbidden, "?" + lab.RawQuery: http.StatusOK} {
		client := http.Client{Timeout: 10 * time.Second}
		answer, err := client.Get("http://" + lab.Host + "/api/contents" + query)
		if err != nil {
			t.Fatal(err)
		}
		_ = answer.Body.Close()
		if answer.StatusCode != want {
			t.Errorf("/api/contents%.10s answers %s, want %d", query, answer.Status, want)
		}
	}
	port := 0
	if _, err := fmt.Sscanf(lab.Port(), "%d", &port); err != nil {
		t.Fatal(err)
	}
	var listens []string
	for _, file := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		text, _ := os.ReadFile(file) // there may be no IPv6
		for line := range strings.Lines(string(text)) {
			f := strings.Fields(line)
			if len(f) > 3 && f[3] == "0A" && strings.HasSuffix(f[1], fmt.Sprintf(":%04X", port)) {
				listens = append(listens, f[1])
			}
		}
	}
	if want := fmt.Sprintf("0100007F:%04X", port); len(listens) != 1 || listens[0] != want {
		t.Errorf("the server listens on %v, want %s alone", listens, want)
	}
}

// startBrowser starts a browser without a window.
func startBrowser(t *testing.T) context.Context {
	t.Helper()
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.NoSandbox, chromedp.DisableGPU)
	if program := os.Getenv("STPRUNE_CHROMIUM"); program != "" {
		options = append(options, chromedp.ExecPath(program))
	}
	ctx, cancel := chromedp.NewExecAllocator(t.Context(), options...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("starting the browser: %v", err)
	}
	return ctx
}

// page is a tab of the browser.
type page struct {
	t   *testing.T
	ctx context.Context
}

// open opens a notebook in a tab of its own, as high as the notebook is, and waits for its kernel.
func open(t *testing.T, browser context.Context, lab *url.URL, notebook string) *page {
	t.Helper()
	ctx, cancel := chromedp.NewContext(browser)
	t.Cleanup(cancel)
	p := &page{t: t, ctx: ctx}
	if err := chromedp.Do(ctx); err != nil { // what starts the tab may have no limit
		t.Fatal(err)
	}
	at := *lab
	at.Path, at.RawQuery = "/lab/tree/"+notebook, at.RawQuery+"&reset"
	p.do(chromedp.EmulateViewport(1300, 1000), chromedp.Navigate(at.String()))
	p.wait(time.Minute, `window.jupyterapp?.shell.currentWidget?.context?.isReady && jupyterapp.shell.currentWidget.sessionContext.session?.kernel?.connectionStatus == "connected"`)
	for range 3 { // what comes into sight may grow
		height := 200 + eval[float64](p, `(cells => cells[cells.length-1].getBoundingClientRect().bottom - cells[0].getBoundingClientRect().top)(document.querySelectorAll(".jp-Notebook .jp-Cell"))`)
		p.do(chromedp.EmulateViewport(1300, int64(min(16000, height))), chromedp.Sleep(500*time.Millisecond))
	}
	return p
}

// do takes the steps, a minute at most.
func (p *page) do(steps ...chromedp.Action[chromedp.Void]) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, time.Minute)
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		p.t.Fatal(err)
	}
}

// eval is the value of a JavaScript expression.
func eval[T any](p *page, expression string) T {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, time.Minute)
	defer cancel()
	value, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression))
	if err != nil {
		p.t.Fatalf("%s: %v", expression, err)
	}
	return value
}

// wait waits until a JavaScript expression is true.
func (p *page) wait(limit time.Duration, expression string) {
	p.t.Helper()
	_, err := chromedp.Run(p.ctx, chromedp.Poll[bool]("!!("+expression+")", chromedp.WithPollingInterval(50*time.Millisecond), chromedp.WithPollingTimeout(limit)))
	if err != nil {
		p.shoot("failed")
		p.t.Fatalf("not within %s: %s: %v", limit, expression, err)
	}
}

// runAll presses the button that restarts the kernel and runs all cells, and waits until they are under way.
func (p *page) runAll() {
	p.t.Helper()
	p.click(`[data-jp-item-name="restart-and-run"]`)
	p.click(`.jp-Dialog .jp-mod-accept`)
	p.wait(time.Minute, `[...document.querySelectorAll(".jp-CodeCell .jp-InputPrompt")].some(p => p.textContent.includes("*"))`)
}

func (p *page) click(selector string) {
	p.t.Helper()
	p.do(chromedp.Click(chromedp.CSS(selector), chromedp.NodeVisible))
}

func (p *page) press(selector, key string) {
	p.t.Helper()
	p.do(chromedp.SendKeys(chromedp.CSS(selector), key, chromedp.NodeVisible))
}

// shoot takes a picture of the whole page, or of one element.
func (p *page) shoot(name string, of ...string) {
	p.t.Helper()
	folder := os.Getenv("STPRUNE_SCREENSHOTS")
	if folder == "" {
		return
	}
	ctx, cancel := context.WithTimeout(p.ctx, time.Minute)
	defer cancel()
	picture := chromedp.CaptureScreenshot()
	if len(of) > 0 {
		picture = chromedp.Screenshot(chromedp.CSS(of[0]))
	}
	png, err := chromedp.Run(ctx, picture)
	if err != nil {
		p.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(folder, strings.TrimSuffix(name, ".ipynb")+".png"), png, 0o644); err != nil {
		p.t.Fatal(err)
	}
}
