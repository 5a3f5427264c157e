package export

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/stprune/workbench/stprune/run"
)

// mlflow adds an experiment with all runs, as MLflow's file store keeps it: meta.yaml, and for each run meta.yaml, metrics, params,
// tags and artifacts. The folder itself is the store ("mlruns").
func mlflow(ctx context.Context, root string, runs []*run.Run, files map[string][]byte) error {
	const experiment = "0"
	var first time.Time
	for i, r := range runs {
		if err := ctx.Err(); err != nil {
			return err
		}
		start, err := started(r)
		if err != nil {
			return err
		}
		if i == 0 || start.Before(first) {
			first = start
		}
		points, end, err := history(r)
		if err != nil {
			return err
		}
		dir := filepath.Join(experiment, r.ID)
		meta := [][2]any{
			{"artifact_uri", fileURI(root, dir, "artifacts")}, {"end_time", nil}, {"entry_point_name", ""}, {"experiment_id", experiment},
			{"lifecycle_stage", "active"}, {"run_id", r.ID}, {"run_name", label(r)}, {"run_uuid", r.ID}, {"source_name", ""},
			{"source_type", 4}, {"source_version", ""}, {"start_time", start.UnixMilli()}, {"status", 1}, {"tags", []string{}}, {"user_id", ""},
		}
		status := r.Status()
		if status != run.Running {
			meta[1][1] = end.UnixMilli()
			meta[12][1] = map[run.Status]int{run.Finished: 3, run.Diverged: 4, run.Interrupted: 5}[status] // finished, failed, killed
		}
		files[filepath.Join(dir, "meta.yaml")] = yaml(meta)

		for _, p := range points { // a line a value: time in milliseconds, value, step
			name := filepath.Join(dir, "metrics", safe(p.name))
			files[name] = fmt.Appendf(files[name], "%d %s %d\n", p.at.UnixMilli(), strconv.FormatFloat(p.value, 'g', -1, 64), p.step)
		}
		var settings []run.Key
		for _, k := range run.Keys(r) {
			if k.Setting && k.Name != "notes" {
				settings = append(settings, k)
			}
		}
		row, err := r.Row(settings...)
		if err != nil {
			return err
		}
		for i, v := range row {
			if text := strings.Join(strings.Fields(run.Text(v)), " "); text != "" { // one line, or MLflow refuses it
				files[filepath.Join(dir, "params", safe(settings[i].Name))] = []byte(text)
			}
		}
		tags := map[string]string{
			"mlflow.runName": label(r), "mlflow.note.content": r.Spec.Notes, "mlflow.source.name": "stprune", "mlflow.source.type": "LOCAL",
			"stprune.status": string(status),
		}
		environment, err := r.Environment()
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		tags["mlflow.source.git.commit"] = environment.Revision
		for name, text := range tags {
			if text != "" {
				files[filepath.Join(dir, "tags", name)] = []byte(text)
			}
		}
		files[filepath.Join(dir, "artifacts", "spec.toml")] = r.Spec.TOML()
	}
	files[filepath.Join(experiment, "meta.yaml")] = yaml([][2]any{
		{"artifact_location", fileURI(root, experiment)}, {"creation_time", max(0, first.UnixMilli())}, {"experiment_id", experiment},
		{"last_update_time", max(0, first.UnixMilli())}, {"lifecycle_stage", "active"}, {"name", "Default"},
	})
	return nil
}

// yaml writes a mapping; JSON's values are YAML.
func yaml(entries [][2]any) []byte {
	var b []byte
	for _, e := range entries {
		value, err := json.Marshal(e[1])
		if err != nil { // text and whole numbers always encode
			value = []byte("null")
		}
		b = fmt.Appendf(b, "%s: %s\n", e[0], value)
	}
	return b
}

func fileURI(parts ...string) string {
	return (&url.URL{Scheme: "file", Path: filepath.ToSlash(filepath.Join(parts...))}).String()
}
