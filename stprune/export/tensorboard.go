package export

import (
	"context"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math"
	"os"
	"path/filepath"
	"strings"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/stprune/workbench/stprune/run"
)

// started is when the run was first asked for.
func started(r *run.Run) (time.Time, error) {
	info, err := os.Stat(filepath.Join(r.Dir, "spec.toml"))
	if err != nil {
		return time.Time{}, fmt.Errorf("run %s: %w", r.ID, err)
	}
	return info.ModTime(), nil
}

// after is that many seconds later.
func after(t time.Time, seconds float64) time.Time {
	return t.Add(time.Duration(seconds * float64(time.Second)))
}

// point is a value in a run's history, as TensorBoard and MLflow show it.
type point struct {
	name  string
	value float64
	at    time.Time // as if the run had been trained in one go
	step  int       // epoch
}

// history is what the epochs measured, and the results, named "result.mae" and so on, at the last epoch.
func history(r *run.Run) (points []point, end time.Time, err error) {
	start, err := started(r)
	if err != nil {
		return nil, end, err
	}
	epochs, err := r.Epochs()
	if err != nil {
		return nil, end, err
	}
	add := func(name string, value any, step int) {
		switch v := value.(type) {
		case int64:
			points = append(points, point{name, float64(v), end, step})
		case float64:
			if !math.IsNaN(v) {
				points = append(points, point{name, v, end, step})
			}
		}
	}
	seconds := 0.0
	end = start
	for i := range epochs {
		e := &epochs[i]
		seconds += e.Seconds.Total()
		end = after(start, seconds)
		for _, k := range epochKeys[1:] { // the first is the epoch itself
			add(k.name, k.of(e), e.Epoch)
		}
	}
	if r.Status() != run.Finished {
		return points, end, nil
	}
	var keys []run.Key
	for _, k := range run.Keys() {
		if !k.Setting && k.Name != "epochs" {
			keys = append(keys, k)
		}
	}
	row, err := r.Row(keys...)
	for i, v := range row {
		if keys[i].Name == "seconds" {
			end = after(start, v.(float64))
		}
	}
	for i, v := range row {
		add("result."+keys[i].Name, v, len(epochs))
	}
	return points, end, err
}

// label names a run for people, with nothing that means something to a file system.
func label(r *run.Run) string {
	text := r.Spec.Name
	if strings.TrimSpace(text) == "" {
		text = filepath.Base(r.Spec.Data.Name) + " " + r.Spec.Prune.Method
	}
	return strings.Join(strings.Fields(text), " ")
}

// safe keeps letters of ASCII, digits and _-. in a file's name.
func safe(name string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("_-.", r) {
			return r
		}
		return '_'
	}, name)
}

// tensorBoard adds an event file for each run, in a folder that TensorBoard shows as the run's name.
func tensorBoard(ctx context.Context, _ string, runs []*run.Run, files map[string][]byte) error {
	for _, r := range runs {
		if err := ctx.Err(); err != nil {
			return err
		}
		start, err := started(r)
		if err != nil {
			return err
		}
		points, _, err := history(r)
		if err != nil {
			return err
		}
		b := record(nil, event(start, 0, 3, []byte("brain.Event:2")))
		b = record(b, event(start, 0, 5, summaryValue(textValue("spec", "```toml\n"+string(r.Spec.TOML())+"```\n"))))
		for len(points) > 0 { // those of one moment are one event
			var summary []byte
			first := points[0]
			for len(points) > 0 && points[0].step == first.step && points[0].at.Equal(first.at) {
				summary = append(summary, summaryValue(scalarValue(tag(points[0].name), points[0].value))...)
				points = points[1:]
			}
			b = record(b, event(first.at, first.step, 5, summary))
		}
		name := fmt.Sprintf("events.out.tfevents.%d.stprune", start.Unix())
		files[filepath.Join(safe(strings.TrimLeft(label(r), "."))+"-"+r.ID, name)] = b
	}
	return nil
}

// tag groups a measure as TensorBoard does, by what stands before the first slash.
func tag(name string) string {
	if group, rest, ok := strings.Cut(name, "."); ok {
		return group + "/" + rest
	}
	return "train/" + name
}

// An event file is a sequence of records (TFRecord): length, its checksum, an Event (protocol buffer), its checksum.
func record(b, event []byte) []byte {
	head := binary.LittleEndian.AppendUint64(nil, uint64(len(event)))
	b = binary.LittleEndian.AppendUint32(append(b, head...), masked(head))
	return binary.LittleEndian.AppendUint32(append(b, event...), masked(event))
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// masked is the checksum of TFRecord: of data that hold such checksums themselves it would be weak without the mask.
func masked(b []byte) uint32 {
	sum := crc32.Checksum(b, castagnoli)
	return (sum>>15 | sum<<17) + 0xa282ead8
}

// event writes tensorflow.Event: wall_time = 1, step = 2, then file_version = 3 or summary = 5.
func event(at time.Time, step int, number protowire.Number, content []byte) []byte {
	b := protowire.AppendTag(nil, 1, protowire.Fixed64Type)
	b = protowire.AppendFixed64(b, math.Float64bits(float64(at.UnixNano())/1e9))
	if step != 0 {
		b = protowire.AppendVarint(protowire.AppendTag(b, 2, protowire.VarintType), uint64(step))
	}
	return field(b, number, content)
}

// field appends bytes, text or a message.
func field(b []byte, number protowire.Number, content []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(b, number, protowire.BytesType), content)
}

// summaryValue wraps tensorflow.Summary.Value; a Summary repeats field 1.
func summaryValue(value []byte) []byte { return field(nil, 1, value) }

// scalarValue writes a Value: tag = 1, simple_value = 2.
func scalarValue(tag string, value float64) []byte {
	b := field(nil, 1, []byte(tag))
	return protowire.AppendFixed32(protowire.AppendTag(b, 2, protowire.Fixed32Type), math.Float32bits(float32(value)))
}

// textValue writes a Value that TensorBoard shows as Markdown: tag = 1, tensor = 8 (dtype = 1, tensor_shape = 2, string_val = 8),
// metadata = 9 (plugin_data = 1 with plugin_name = 1).
func textValue(tag, text string) []byte {
	const stringType = 7
	tensor := protowire.AppendVarint(protowire.AppendTag(nil, 1, protowire.VarintType), stringType)
	tensor = field(field(tensor, 2, nil), 8, []byte(text))
	b := field(field(nil, 1, []byte(tag)), 8, tensor)
	return field(b, 9, field(nil, 1, field(nil, 1, []byte("text"))))
}
