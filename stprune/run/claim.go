package run

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/stprune/workbench/stprune/train"
)

// StaleAfter is how long a claim lasts without a sign of life from its holder. While it trains, a process gives one every ten
// seconds. Where it can be known that the holder has ended, its claim ends at once: see [Claim].
const StaleAfter = 2 * time.Minute

const beatEvery = 10 * time.Second

// ErrTakenOver says that this process gave no sign of life for so long that another one has taken its run over.
var ErrTakenOver = errors.New("another process has taken this run over, as this one gave no sign of life for long")

// Claim is who trains a run, and how far it was at the last sign of life.
//
// A claim makes one process the only writer of a run, on folders that machines share as well. It ends when its holder says so;
// when the holder was a process of this machine that is no more; when its job of Slurm has been started again; and otherwise
// [StaleAfter] its last sign of life.
type Claim struct {
	Host   string    `json:"host"`
	PID    int       `json:"pid"`
	Job    string    `json:"job,omitempty"` // of Slurm, such as 17_4
	Since  time.Time `json:"since"`
	Epoch  int       `json:"epoch"` // from 1; 0 before the first step
	Epochs int       `json:"epochs"`
	Step   int       `json:"step"`
	Steps  int       `json:"steps"`
	First  int       `json:"first"` // steps done before this claim
	Ended  bool      `json:"ended,omitempty"`

	Machine string `json:"machine"` // where PID means something: boot and namespace of processes
	Started string `json:"started"` // when the process was, so that a later one with its number isn't taken for it
	Start   int    `json:"start"`   // of the job: 0 the first time, 1 when it was requeued once
}

// String says who holds the claim: "process 17 on host, job 4_2".
func (c Claim) String() string {
	text := fmt.Sprintf("process %d on %s", c.PID, c.Host)
	if c.Job != "" {
		text += ", job " + c.Job
	}
	return text
}

// here is a claim of this process.
func here() Claim {
	c := Claim{PID: os.Getpid(), Since: time.Now().UTC().Truncate(time.Second)}
	c.Host, _ = os.Hostname() // for people to read
	if boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id"); err == nil {
		if space, err := os.Readlink("/proc/self/ns/pid"); err == nil {
			c.Machine = strings.TrimSpace(string(boot)) + " " + space
		}
	}
	c.Started = started(c.PID)
	c.Job = SlurmJob()
	c.Start, _ = strconv.Atoi(os.Getenv("SLURM_RESTART_COUNT")) // unset at the first start
	return c
}

// SlurmJob is the job of Slurm that this process runs in, as squeue names it; empty outside.
func SlurmJob() string {
	if array := os.Getenv("SLURM_ARRAY_JOB_ID"); array != "" {
		return array + "_" + os.Getenv("SLURM_ARRAY_TASK_ID")
	}
	return os.Getenv("SLURM_JOB_ID")
}

// started tells living processes with equal numbers apart; it is empty for one that has ended, and where the system doesn't tell.
func started(pid int) string {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return ""
	}
	// The second field, the name, may hold anything; after it come the state and, as the 22nd of all, the time of start.
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	if len(fields) < 20 || fields[0] == "Z" || fields[0] == "X" {
		return ""
	}
	return fields[19]
}

// over tells whether a claim has ended whose last sign of life is that old.
func (c Claim) over(me Claim, age, stale time.Duration) bool {
	switch {
	case c.Ended:
		return true
	case c.Machine != "" && c.Machine == me.Machine && me.Started != "":
		return started(c.PID) != c.Started
	case c.Job != "" && c.Job == me.Job && me.Start > c.Start:
		return true
	}
	return age > stale
}

// Claims of a run are numbered files in a folder of its own, beside the runs, so that removing a run never removes what somebody
// waits for. The highest number holds the run. A number is made with O_EXCL, which one process alone succeeds in, on NFS too; the
// highest is never removed, so numbers only grow, and who was late to look can win nothing but a number that is passed already.
func claimDir(storeDir, id string) string { return filepath.Join(storeDir, ".claims", id) }

func claimPath(dir string, number int) string { return filepath.Join(dir, strconv.Itoa(number)) }

// claims are the numbers in a folder of claims, and the highest of them; 0 when there is none.
func claims(dir string) (numbers []int, highest int, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, 0, err
	}
	for _, e := range entries {
		if n, err := strconv.Atoi(e.Name()); err == nil {
			numbers, highest = append(numbers, n), max(highest, n)
		}
	}
	return numbers, highest, nil
}

// readClaim reads a claim, and when it was written last. One that is just being written has no content yet.
func readClaim(path string) (c Claim, last time.Time, err error) {
	f, err := os.Open(path)
	if err != nil {
		return c, last, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return c, last, err
	}
	_ = json.NewDecoder(f).Decode(&c)
	return c, info.ModTime(), nil
}

// Claim is the claim on the run that holds, if there is one.
func (r *Run) Claim() (c Claim, held bool) {
	dir := claimDir(filepath.Dir(r.Dir), r.ID)
	_, highest, err := claims(dir)
	if err != nil || highest == 0 {
		return c, false
	}
	c, last, err := readClaim(claimPath(dir, highest))
	if err != nil { // passed by another in this moment
		return c, errors.Is(err, fs.ErrNotExist)
	}
	return c, !c.over(here(), time.Since(last), StaleAfter)
}

// holder is a claim that this process holds.
type holder struct {
	dir    string
	number int
	file   *os.File
	me     Claim
	mutex  sync.Mutex // of me and of writing to the file
	stop   chan struct{}
	done   chan struct{}
}

// claim makes this process the only one to write the run. When another process is that, claim calls busy and waits, or with wait
// false returns [ErrBusy].
func (s *Store) claim(ctx context.Context, id string, wait bool, busy func()) (*holder, error) {
	dir := claimDir(s.Dir, id)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	for told := false; ; {
		h, err := s.tryClaim(dir)
		if err != nil {
			return nil, fmt.Errorf("claiming the run: %w", err)
		}
		if h != nil {
			return h, nil
		}
		if !wait {
			return nil, ErrBusy
		}
		if !told && busy != nil {
			busy()
			told = true
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("waiting for the claim on it: %w", ctx.Err())
		case <-time.After(500 * time.Millisecond):
		}
	}
}

// tryClaim is nil when another process holds the run.
func (s *Store) tryClaim(dir string) (*holder, error) {
	me := here()
	me.Machine = cmp.Or(s.machine, me.Machine)
	_, highest, err := claims(dir)
	if err != nil {
		return nil, err
	}
	if highest > 0 {
		c, last, err := readClaim(claimPath(dir, highest))
		if errors.Is(err, fs.ErrNotExist) { // passed by another in this moment
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		now, err := clock(dir)
		if err != nil {
			return nil, err
		}
		if !c.over(me, now.Sub(last), cmp.Or(s.stale, StaleAfter)) {
			return nil, nil
		}
	}
	h := &holder{dir: dir, number: highest + 1, me: me, stop: make(chan struct{}), done: make(chan struct{})}
	h.file, err = os.OpenFile(claimPath(dir, h.number), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o644)
	if errors.Is(err, fs.ErrExist) {
		return nil, nil
	}
	if err == nil {
		err = h.write()
	}
	var numbers []int
	if err == nil {
		numbers, highest, err = claims(dir)
	}
	if err != nil || highest > h.number { // highest: we had looked before others came and went
		if h.file != nil {
			err = errors.Join(err, h.file.Close(), os.Remove(h.file.Name()))
		}
		return nil, err
	}
	for _, n := range numbers {
		if n < h.number {
			_ = os.Remove(claimPath(dir, n)) // leaving it harms nobody
		}
	}
	go h.beat(cmp.Or(s.beat, beatEvery))
	return h, nil
}

// clock is the time of the file system, by which claims are dated: the clocks of machines may differ.
func clock(dir string) (time.Time, error) {
	f, err := os.CreateTemp(dir, ".clock-*")
	if err != nil {
		return time.Time{}, err
	}
	_, err = f.WriteString("now")
	err = errors.Join(err, f.Sync())
	info, statErr := f.Stat()
	if err = errors.Join(err, statErr, f.Close(), os.Remove(f.Name())); err != nil {
		return time.Time{}, err
	}
	return info.ModTime(), nil
}

// write replaces the claim's content. Its length stays, so that a reader never sees the end of an older one.
func (h *holder) write() error {
	text, err := json.Marshal(h.me)
	if err != nil {
		return err
	}
	text = append(text, bytes.Repeat([]byte(" "), max(0, 1023-len(text)))...)
	_, err = h.file.WriteAt(append(text, '\n'), 0)
	return errors.Join(err, h.file.Sync())
}

// beat gives signs of life until the holder is released. One that can't be written now may be later; what counts is [holder.check].
func (h *holder) beat(every time.Duration) {
	defer close(h.done)
	for tick := time.NewTicker(every); ; {
		select {
		case <-h.stop:
			tick.Stop()
			return
		case <-tick.C:
			h.mutex.Lock()
			_ = h.write()
			h.mutex.Unlock()
		}
	}
}

// at notes a step for the next sign of life.
func (h *holder) at(p train.Progress) {
	h.mutex.Lock()
	if h.me.Epoch == 0 {
		h.me.First = p.Step - 1
	}
	h.me.Epoch, h.me.Epochs, h.me.Step, h.me.Steps = p.Epoch, p.Epochs, p.Step, p.Steps
	h.mutex.Unlock()
}

// check is [ErrTakenOver] when the run is another's by now.
func (h *holder) check() error {
	_, highest, err := claims(h.dir)
	if err == nil && highest != h.number {
		err = ErrTakenOver
	}
	return err
}

// release lets others have the run.
func (h *holder) release() {
	close(h.stop)
	<-h.done
	h.me.Ended = true
	_, _ = h.write(), h.file.Close() // else the claim ends with this process, or goes stale
}

// claimedDisk writes as long as the claim holds.
type claimedDisk struct {
	disk
	claim *holder
}

func (d claimedDisk) Create(path string) (file, error) {
	if err := d.claim.check(); err != nil {
		return nil, err
	}
	return d.disk.Create(path)
}

func (d claimedDisk) Rename(from, to string) error {
	if err := d.claim.check(); err != nil {
		return err
	}
	return d.disk.Rename(from, to)
}
