package run

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
	"slices"

	"github.com/stprune/workbench/stprune"
)

// Kept is an epoch's selection as stored.
type Kept struct {
	Units     int // number n of training units
	PerWindow int // units per window: N when the unit is a pair, unit = window·N + node; the blocks when it is one of them; else 1

	// Selection is exact up to 2^17 kept units; beyond that weights and probabilities carry a relative error below 1e-3. Its
	// Diagnostics are in the epoch's record. It is empty when Summary is set.
	stprune.Selection

	// Summary replaces the selection when that would take more than 4 MB: what was kept of each window.
	Summary *WindowVisits
}

// WindowVisits counts per training window.
type WindowVisits struct {
	Count  []int32   // [windows] units kept, at most PerWindow
	Weight []float32 // [windows] sum of their loss weights
}

// Windows is the number of training windows.
func (k Kept) Windows() int { return k.Units / k.PerWindow }

// Visits sums the selection up over windows, whichever the unit is.
func (k Kept) Visits() WindowVisits {
	if k.Summary != nil {
		return *k.Summary
	}
	v := WindowVisits{Count: make([]int32, k.Windows()), Weight: make([]float32, k.Windows())}
	if k.All {
		for w := range v.Count {
			v.Count[w], v.Weight[w] = int32(k.PerWindow), float32(k.PerWindow)
		}
		return v
	}
	for i, id := range k.IDs {
		w, weight := int(id)/k.PerWindow, float32(1)
		if k.Weight != nil {
			weight = k.Weight[i]
		}
		v.Count[w]++
		v.Weight[w] += weight
	}
	return v
}

// trainedOn is the part of a plan, some of its ids, that an epoch chose within its batches. It has no inclusion probabilities.
func trainedOn(ids []int32, plan stprune.Selection) stprune.Selection {
	s := stprune.Selection{IDs: ids, Diagnostics: plan.Diagnostics}
	sum, squares, largest := float64(len(ids)), float64(len(ids)), 1.0
	if plan.Weight != nil {
		s.Weight = make([]float32, len(ids))
		sum, squares, largest = 0, 0, 0
		for i, id := range ids {
			at, _ := slices.BinarySearch(plan.IDs, id)
			w := float64(plan.Weight[at])
			s.Weight[i] = plan.Weight[at]
			sum, squares, largest = sum+w, squares+w*w, max(largest, w)
		}
	}
	s.Diagnostics.Kept, s.Diagnostics.EffectiveSize, s.Diagnostics.MaxWeight = len(ids), sum/squares*sum, largest
	return s
}

// The flags of a stored selection.
const (
	keptAll = 1 << iota
	keptBitmap
	keptWeight
	keptProb
	keptSummary
)

// selectionLimit is the largest stored selection in bytes; a larger one is summed up over windows.
const selectionLimit = 4 << 20

// encodeKept writes units, units per window, flags, and then
//
//	all      nothing more
//	units    k, then a bitmap of n bits when k > n/16, else the gaps between ids as varints; then weights and probabilities
//	summary  count per window as varints, then the sums of weights
func encodeKept(k Kept) ([]byte, error) {
	if k.Windows() > maxWindows {
		return nil, fmt.Errorf("selection: %d training windows; at most %d can be stored: train on a shorter part of the series", k.Windows(), maxWindows)
	}
	head := binary.AppendUvarint(nil, uint64(k.Units))
	head = binary.AppendUvarint(head, uint64(k.PerWindow))
	if k.All {
		return append(head, keptAll), nil
	}
	flags := byte(0)
	dense := len(k.IDs) > k.Units/16
	if dense {
		flags |= keptBitmap
	}
	if k.Weight != nil {
		flags |= keptWeight
	}
	if k.Prob != nil {
		flags |= keptProb
	}
	b := binary.AppendUvarint(append(head, flags), uint64(len(k.IDs)))
	bitmap := make([]byte, 0)
	if dense {
		bitmap = make([]byte, (k.Units+7)/8)
	}
	last := int32(-1)
	for _, id := range k.IDs {
		if id <= last || int(id) >= k.Units {
			return nil, fmt.Errorf("selection: unit %d after %d; expected ascending ids below %d", id, last, k.Units)
		}
		if dense {
			bitmap[id/8] |= 1 << (id % 8)
		} else {
			b = binary.AppendUvarint(b, uint64(id-last))
		}
		last = id
	}
	b = append(b, bitmap...)
	if k.Weight != nil {
		b = appendColumn(b, k.Weight)
	}
	if k.Prob != nil {
		b = appendColumn(b, k.Prob)
	}
	if len(b) <= selectionLimit || k.PerWindow == 1 {
		return b, nil
	}
	b = append(head[:len(head):len(head)], keptSummary)
	v := k.Visits()
	for _, c := range v.Count {
		b = binary.AppendUvarint(b, uint64(c))
	}
	return appendColumn(b, v.Weight), nil
}

// What a stored file may declare: ids are int32, and that all units of so many windows are kept takes a few bytes.
const (
	maxUnits   = 1<<31 - 1
	maxWindows = 1 << 27
)

func decodeKept(b []byte) (Kept, error) {
	var k Kept
	var fault error
	number := func(limit int) int {
		v, n := binary.Uvarint(b)
		if n <= 0 || v > uint64(limit) {
			fault = errors.Join(fault, fmt.Errorf("a number is missing or above %d", limit))
			b = nil
			return 0
		}
		b = b[n:]
		return int(v)
	}
	k.Units, k.PerWindow = number(maxUnits), number(maxUnits)
	if fault == nil && (k.PerWindow < 1 || k.Units%k.PerWindow != 0) {
		fault = fmt.Errorf("%d units do not make whole windows of %d", k.Units, k.PerWindow)
	}
	if fault == nil && k.Windows() > maxWindows {
		fault = fmt.Errorf("%d windows; at most %d can be read", k.Windows(), maxWindows)
	}
	if fault == nil && len(b) == 0 {
		fault = errShort
	}
	if fault != nil {
		return Kept{}, fault
	}
	flags := b[0]
	b = b[1:]
	switch {
	case flags == keptAll:
		k.All = true
	case flags == keptSummary:
		if len(b) < k.Windows() { // every count takes a byte at least
			return Kept{}, errShort
		}
		v := &WindowVisits{Count: make([]int32, k.Windows())}
		for w := range v.Count {
			v.Count[w] = int32(number(k.PerWindow))
		}
		if fault != nil {
			return Kept{}, fault
		}
		if v.Weight, b, fault = readColumn(b, len(v.Count)); fault != nil {
			return Kept{}, fault
		}
		k.Summary = v
	case flags&^(keptBitmap|keptWeight|keptProb) == 0:
		n := number(k.Units)
		if fault != nil {
			return Kept{}, fault
		}
		if k.IDs, b, fault = readIDs(b, n, k.Units, flags&keptBitmap != 0); fault != nil {
			return Kept{}, fault
		}
		if flags&keptWeight != 0 {
			if k.Weight, b, fault = readColumn(b, n); fault != nil {
				return Kept{}, fault
			}
		}
		if flags&keptProb != 0 {
			if k.Prob, b, fault = readColumn(b, n); fault != nil {
				return Kept{}, fault
			}
		}
	default:
		return Kept{}, fmt.Errorf("flags %#x are unknown", flags)
	}
	if len(b) != 0 {
		return Kept{}, fmt.Errorf("%d bytes follow its end", len(b))
	}
	return k, nil
}

// readIDs takes n ascending ids below units off the front of b.
func readIDs(b []byte, n, units int, dense bool) (ids []int32, rest []byte, err error) {
	if dense {
		size := (units + 7) / 8
		if len(b) < size {
			return nil, nil, errShort
		}
		ids = make([]int32, 0, n)
		for i, set := range b[:size] {
			for ; set != 0; set &= set - 1 {
				ids = append(ids, int32(i*8+bits.TrailingZeros8(set)))
			}
		}
		if len(ids) != n || n > 0 && int(ids[n-1]) >= units {
			return nil, nil, fmt.Errorf("its bitmap holds %d ids; expected %d below %d", len(ids), n, units)
		}
		return ids, b[size:], nil
	}
	if len(b) < n { // every id takes a byte at least
		return nil, nil, errShort
	}
	ids = make([]int32, n)
	last := -1
	for i := range ids {
		gap, size := binary.Uvarint(b)
		if size <= 0 || gap < 1 || gap > uint64(units) || last+int(gap) >= units {
			return nil, nil, fmt.Errorf("id %d of %d does not follow %d below %d", i, n, last, units)
		}
		last += int(gap)
		ids[i] = int32(last)
		b = b[size:]
	}
	return ids, b, nil
}
