package train

import (
	"errors"
	"fmt"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/gomlx/core/tensors"
)

// rows are some time steps of a data set as the device takes them.
type rows struct {
	columns  int
	values   []float32 // [T,columns] raw units, missing entries hold layout.missing
	tod, dow []int32   // [T]
}

// tensors puts them on a device. Without rows there are none.
func (r *rows) tensors(be compute.Backend, device int) ([]*tensors.Tensor, error) {
	if r == nil {
		return nil, nil
	}
	t := len(r.tod)
	values, errValues := onDevice(be, device, r.values, t, r.columns)
	tod, errTod := onDevice(be, device, r.tod, t)
	dow, errDow := onDevice(be, device, r.dow, t)
	all := []*tensors.Tensor{values, tod, dow}
	if err := errors.Join(errValues, errTod, errDow); err != nil {
		release(all)
		return nil, fmt.Errorf("putting %d time steps of %d series on the device: %w", t, r.columns, brief(err))
	}
	return all, nil
}

// onDevice makes a tensor that is on the device alone. One that is first made in Go's memory leaves garbage, of which the collector
// lets pile up as much as the series takes.
func onDevice[V float32 | int32](be compute.Backend, device int, values []V, dims ...int) (*tensors.Tensor, error) {
	buffer, err := be.BufferFromFlatData(compute.DeviceNum(device), values, shapes.Make(dtypes.FromGenericsType[V](), dims...))
	if err != nil {
		return nil, err
	}
	return tensors.FromBuffer(buffer)
}

// locate tells where the windows that begin at starts begin in what the device is to gather them from. That is the resident series,
// where nothing changes, or with [Config].Stream these windows alone, one after the other, with the columns that the unit takes: all
// nodes, the one of each pair, or the block. The rows are valid until the next call.
func (d *domain) locate(unit string, starts, nodes []int32) ([]int32, *rows) {
	if d.host == nil {
		return starts, nil
	}
	w, all := d.layout.history+d.layout.horizon, d.layout.nodes
	r := &d.sent
	switch unit {
	case Pair:
		r.columns = 1
	case Block:
		r.columns = len(nodes)
	default:
		r.columns = all
	}
	r.values, r.tod, r.dow = r.values[:0], r.tod[:0], r.dow[:0]
	at := make([]int32, len(starts))
	for i, start := range starts {
		at[i] = int32(i * w)
		from, to := int(start), int(start)+w
		r.tod, r.dow = append(r.tod, d.host.tod[from:to]...), append(r.dow, d.host.dow[from:to]...)
		switch unit {
		case Pair:
			for t := from; t < to; t++ {
				r.values = append(r.values, d.host.values[t*all+int(nodes[i])])
			}
		case Block:
			for t := from; t < to; t++ {
				for _, node := range nodes {
					r.values = append(r.values, d.host.values[t*all+int(node)])
				}
			}
		default:
			r.values = append(r.values, d.host.values[from*all:to*all]...)
		}
	}
	if d.layout.missingIsZ0 {
		withoutNaN(r.values, d.layout.missing)
	}
	return at, r
}

// inputs are where a graph's windows begin, and what it gathers them from where the series is streamed.
func (d *domain) inputs(unit string, starts, nodes []int32) (at *tensors.Tensor, sent []*tensors.Tensor, err error) {
	begins, rows := d.locate(unit, starts, nodes)
	if sent, err = rows.tensors(d.t.backend, 0); err != nil {
		return nil, nil, err
	}
	return tensors.FromFlatDataAndDimensions(begins, len(begins)), sent, nil
}

// withoutNaN replaces NaN, which cannot be compared on every backend.
func withoutNaN(values []float32, missing float32) {
	for i, v := range values {
		if v != v {
			values[i] = missing
		}
	}
}
