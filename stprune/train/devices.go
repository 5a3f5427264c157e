package train

import (
	"fmt"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/distributed"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
)

// CheckDevices refuses more devices than the backend has.
func CheckDevices(be compute.Backend, devices int) error {
	if devices > be.NumDevices() {
		return fmt.Errorf("backend.devices = %d, but the backend at hand has %d (%s); lower it, or set backend.name to one with more",
			devices, be.NumDevices(), be.Name())
	}
	return nil
}

// newStep prepares the training step, which with several devices is one program on all of them: each begins with its part of the
// batch, parameters and optimiser state are the same on all, and XLA's partitioner (Shardy) puts in what they must tell each other.
// What the graph says of the batch therefore holds of the whole batch, whatever part is where: the loss and its divisor, batch
// statistics, dropout's masks, clipping. The results, the stats of all units in the batch's order among them, are on every device.
func (d *domain) newStep(be compute.Backend, padded bool) (*graph.Exec, error) {
	step, err := d.program(be, "train_step", func(in []*node) []*node { return d.stepGraph(in, padded) })
	if err != nil || d.t.cfg.Devices == 1 {
		return step, err
	}
	const axis = "devices"
	mesh, err := distributed.NewDeviceMesh([]int{d.t.cfg.Devices}, []string{axis})
	if err != nil {
		return nil, err
	}
	cut, err := distributed.BuildSpec(mesh).S(axis).Done()
	if err != nil {
		return nil, err
	}
	whole := distributed.NewReplicatedShardingSpec(mesh)
	var in []*distributed.ShardingSpec
	for range 1 + len(d.t.slots) + 2 { // theta, slots, hyper, key
		in = append(in, whole)
	}
	in = append(in, cut, cut) // starts, weights
	if d.t.cfg.Unit == Pair {
		in = append(in, cut) // nodes
	}
	in = append(in, whole) // and all that follow
	return step.AutoSharding(mesh).WithInputShardingSpecs(in...).WithOutputShardingSpecs(whole), nil
}

// replicate puts what is the same on all devices on the others too, where it isn't yet.
func (t *Trainer) replicate(d *domain) error {
	for _, x := range []struct {
		of []*tensors.Tensor
		to *[][]*tensors.Tensor
	}{{append([]*tensors.Tensor{t.theta}, t.slots...), &t.copies}, {d.fixed(), &d.copies}} {
		for len(*x.to) < t.cfg.Devices-1 {
			var copies []*tensors.Tensor
			for _, one := range x.of {
				c, err := one.LocalClone()
				if err != nil {
					return err
				}
				copies = append(copies, c)
			}
			*x.to = append(*x.to, copies)
		}
	}
	return nil
}

// divisible is the smallest batch of at least b units that the devices can share equally.
func (c Config) divisible(b int) int {
	return (b + c.Devices - 1) / c.Devices * c.Devices
}

// part is what one device of several is sent: an equal part of the batch, whose windows begin at starts.
func (f *feed) part(starts []int32, device, devices int) *feed {
	n := len(f.starts) / devices
	from, to := device*n, (device+1)*n
	part := *f
	part.starts, part.weights = starts[from:to], f.weights[from:to]
	if f.unit == Pair {
		part.nodes = f.nodes[from:to]
	}
	return &part
}
