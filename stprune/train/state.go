package train

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"

	"github.com/gomlx/gomlx/core/tensors"

	"github.com/stprune/workbench/stprune"
	"github.com/stprune/workbench/stprune/backbone"
)

// stateFormat is raised when the layout of a saved state changes.
const stateFormat = 1

// savedState is the head of a saved state; the arrays follow it in the order of the fields.
type savedState struct {
	Format int
	State  numbers
	Best   bool // best parameters follow
	Slots  int
	Pruner int  // bytes
	Plan   bool // the selection of the epoch under way follows
	All    bool
	IDs    int
	Weight bool
	Prob   bool
	Chosen int // units
}

// numbers is state with the bits of its floats, so that they survive JSON exactly (also infinity).
type numbers struct {
	state
	LossSum, BestMAE uint64
}

// MarshalBinary is the full state, also in the middle of an epoch: parameters, optimiser state, best parameters, the pruner's
// state and the selection of the epoch under way. The same position always gives the same bytes.
func (t *Trainer) MarshalBinary() ([]byte, error) {
	pruner, err := t.pruner.MarshalBinary()
	if err != nil {
		return nil, fmt.Errorf("saving the pruner: %w", err)
	}
	head := savedState{
		Format: stateFormat,
		State:  numbers{t.state, math.Float64bits(t.state.LossSum), math.Float64bits(t.state.BestMAE)},
		Best:   t.best != nil,
		Slots:  len(t.slots),
		Pruner: len(pruner),
		Plan:   t.selection != nil,
		Chosen: len(t.chosen),
	}
	head.State.state.LossSum, head.State.state.BestMAE = 0, 0
	if s := t.selection; s != nil {
		head.All, head.IDs, head.Weight, head.Prob = s.All, len(s.IDs), s.Weight != nil, s.Prob != nil
	}
	text, err := json.Marshal(head)
	if err != nil {
		return nil, fmt.Errorf("saving the state: %w", err)
	}
	var out bytes.Buffer
	out.Grow(len(text) + len(pruner) + 4*(2+len(t.slots))*t.theta.Shape().Size() + 12*head.IDs + 4*head.Chosen + 8)
	put := func(x any) { _ = binary.Write(&out, binary.LittleEndian, x) } // a bytes.Buffer does not fail
	put(uint64(len(text)))
	out.Write(text)
	for _, x := range append([]*tensors.Tensor{t.theta}, t.slots...) {
		values, err := tensors.CopyFlatData[float32](x)
		if err != nil {
			return nil, fmt.Errorf("saving the parameters: %w", brief(err))
		}
		put(values)
	}
	if head.Best {
		put(t.best)
	}
	out.Write(pruner)
	if head.Plan && !head.All {
		put(t.selection.IDs)
		put(t.selection.Weight)
		put(t.selection.Prob)
	}
	put(t.chosen)
	return out.Bytes(), nil
}

// UnmarshalBinary continues from a saved state: training goes on to the same bits as if it had never stopped. The trainer must
// have been made with the same configuration and data.
func (t *Trainer) UnmarshalBinary(data []byte) error {
	if len(data) < 8 {
		return fmt.Errorf("saved state: %d bytes; it is truncated", len(data))
	}
	n := binary.LittleEndian.Uint64(data)
	if n > uint64(len(data)-8) {
		return fmt.Errorf("saved state: its head says %d bytes, the file has %d; it is damaged", n, len(data))
	}
	var head savedState
	if err := json.Unmarshal(data[8:8+n], &head); err != nil {
		return fmt.Errorf("saved state: its head cannot be read: %w", err)
	}
	if head.Format != stateFormat {
		return fmt.Errorf("saved state: format %d; this version reads %d", head.Format, stateFormat)
	}
	st := head.State.state
	st.LossSum, st.BestMAE = math.Float64frombits(head.State.LossSum), math.Float64frombits(head.State.BestMAE)
	if st.Parameters != t.state.Parameters || head.Slots != len(t.slots) {
		return fmt.Errorf("saved state: %d parameters and %d optimiser vectors; this model has %d and %d; it belongs to another run",
			st.Parameters, head.Slots, t.state.Parameters, len(t.slots))
	}
	whole := t.theta.Shape().Size() // parameters and buffers
	size := 4 * whole
	for _, slot := range t.slotSizes() {
		size += 4 * slot
	}
	if head.Best {
		size += 4 * whole
	}
	per := 0
	if head.Plan && !head.All {
		per = 4
		for _, has := range []bool{head.Weight, head.Prob} {
			if has {
				per += 4
			}
		}
	}
	rest := data[8+n:]
	if head.Pruner < 0 || min(head.IDs, head.Chosen) < 0 || max(head.IDs, head.Chosen) > t.units() ||
		size+head.Pruner+per*head.IDs+4*head.Chosen != len(rest) {
		return fmt.Errorf("saved state: %d bytes of arrays do not fit its head; it is damaged", len(rest))
	}
	floats := func(n int) []float32 {
		v := make([]float32, n)
		for i := range v {
			v[i] = math.Float32frombits(binary.LittleEndian.Uint32(rest[4*i:]))
		}
		rest = rest[4*n:]
		return v
	}
	ids := func(n int) []int32 {
		v := make([]int32, n)
		for i := range v {
			v[i] = int32(binary.LittleEndian.Uint32(rest[4*i:]))
		}
		rest = rest[4*n:]
		return v
	}
	theta := floats(whole)
	var slots [][]float32
	for _, slot := range t.slotSizes() {
		slots = append(slots, floats(slot))
	}
	var best []float32
	if head.Best {
		best = floats(whole)
	}
	if err := t.pruner.UnmarshalBinary(rest[:head.Pruner]); err != nil {
		return fmt.Errorf("saved state: %w", err)
	}
	rest = rest[head.Pruner:]
	var selection *stprune.Selection
	if head.Plan {
		selection = &stprune.Selection{All: head.All}
		if !head.All {
			selection.IDs = ids(head.IDs)
			if head.Weight {
				selection.Weight = floats(head.IDs)
			}
			if head.Prob {
				selection.Prob = floats(head.IDs)
			}
			if err := t.checkSelection(*selection); err != nil {
				return fmt.Errorf("saved state: %w", err)
			}
		}
	}
	chosen := ids(head.Chosen)
	t.setParameters(theta, slots)
	t.best, t.state, t.selection, t.chosen, t.ahead, t.seconds = best, st, selection, chosen, nil, Seconds{}
	return nil
}

// Named returns the model's parameters and buffers by their reference names, flattened in the reference's layout: those of the
// best validation, or the current ones before the first.
func (t *Trainer) Named() (map[string][]float32, error) {
	theta, err := t.bestSoFar()
	if err != nil {
		return nil, err
	}
	return backbone.Named(t.model, theta), nil
}
