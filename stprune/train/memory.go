package train

import (
	"bufio"
	"fmt"
	"os"
	"strings"

	"github.com/gomlx/gomlx/core/graph"
)

// stepBytes estimates what a training step takes at its peak, from below: everything that stays on the device; what the forward pass,
// up to the loss, must keep for the backward pass, the inputs of its matrix products and loops or, with recompute, what the backbone
// marked to be kept; and the largest array within a loop. What the compiler can fuse away is not counted.
func stepBytes(loss *node, recompute bool) int64 {
	var bytes, inLoops int64
	seen := map[*node]bool{}
	add := func(n *node) {
		for sameValues(n) {
			n = n.Inputs()[0]
		}
		if !seen[n] {
			seen[n] = true
			bytes += n.Shape().ByteSize()
		}
	}
	for _, n := range loss.Graph().Nodes() {
		kept := n.Id() < loss.Id()
		switch {
		case !n.Function().IsMain():
			if n.Type() == graph.NodeTypeDotGeneral {
				inLoops = max(inLoops, n.Shape().ByteSize())
			}
		case n.Type() == graph.NodeTypeParameter, n.Type() == graph.NodeTypeOptimizationBarrier && kept && recompute:
			add(n)
		case (n.Type() == graph.NodeTypeDotGeneral || n.Type() == graph.NodeTypeWhile) && kept && !recompute:
			for _, in := range n.Inputs() {
				if in.Type() != graph.NodeTypeBroadcastInDim { // where a loop's results begin
					add(in)
				}
			}
		}
	}
	return bytes + inLoops
}

// sameValues tells whether a node holds the values of its input in another form, which need not be kept beside it.
func sameValues(n *node) bool {
	switch n.Type() {
	case graph.NodeTypeReshape, graph.NodeTypeTranspose, graph.NodeTypeIdentity, graph.NodeTypeOptimizationBarrier:
		return true
	}
	return false
}

// passBytes estimates what a forward pass takes at its peak, from below: everything that stays on the device, and the matrix product or
// loop whose inputs and result take most together.
func passBytes(g *graph.Graph) int64 {
	var fixed, most int64
	for _, n := range g.Nodes() {
		if n.Type() == graph.NodeTypeParameter && n.Function().IsMain() {
			fixed += n.Shape().ByteSize()
		}
		if n.Type() != graph.NodeTypeDotGeneral && n.Type() != graph.NodeTypeWhile {
			continue
		}
		seen := map[*node]bool{}
		bytes := int64(0)
		if n.Type() == graph.NodeTypeDotGeneral {
			bytes = n.Shape().ByteSize()
		}
		for _, in := range n.Inputs() {
			for sameValues(in) {
				in = in.Inputs()[0]
			}
			known := in.Type() == graph.NodeTypeParameter && in.Function().IsMain()
			if !known && !seen[in] && in.Type() != graph.NodeTypeBroadcastInDim {
				seen[in] = true
				bytes += in.Shape().ByteSize()
			}
		}
		most = max(most, bytes)
	}
	return fixed + most
}

// MemoryError says that a training step or a forward pass would need more memory than [Config].MemoryLimit.
type MemoryError struct {
	Need, Limit int64  // bytes; Need is an estimate from below
	Work        string // what would need it, e.g. "a training step"
	Remedy      string // what to do, e.g. "lower train.eval_batch"
}

func (e *MemoryError) Error() string {
	return fmt.Sprintf("%s would take at least %.1f GB, the limit is %.1f GB; %s", e.Work, float64(e.Need)/1e9, float64(e.Limit)/1e9, e.Remedy)
}

// refuse ends the building of a step that would need more memory than may be used; limit 0 is none.
func refuse(loss *node, recompute bool, limit int64) {
	if need := stepBytes(loss, recompute); limit > 0 && need > limit {
		panic(error(&MemoryError{need, limit, "a training step", "lower train.batch, pass it in parts by a smaller train.micro_batch, choose a smaller model, or set its option recompute where it has one"}))
	}
}

// refusePass does so with a forward pass of so many units; key is the setting that made them so many.
func refusePass(g *graph.Graph, units int, key string, limit int64) {
	if need := passBytes(g); limit > 0 && need > limit {
		panic(error(&MemoryError{need, limit, fmt.Sprintf("a forward pass of %d units", units), "lower " + key + " or choose a smaller model"}))
	}
}

// Settings that a forward pass takes its number of units from.
const evalBatch, trainBatch = "train.eval_batch", "train.batch"

// MachineMemory is the memory of this machine, or of the container that this process runs in, in bytes; 0 where it isn't known.
func MachineMemory() int64 {
	var least int64
	take := func(bytes int64) {
		if bytes > 0 && (least == 0 || bytes < least) {
			least = bytes
		}
	}
	if f, err := os.Open("/proc/meminfo"); err == nil {
		defer f.Close()
		for lines := bufio.NewScanner(f); lines.Scan(); {
			var kilobytes int64
			if value, ok := strings.CutPrefix(lines.Text(), "MemTotal:"); ok {
				if _, err := fmt.Sscan(value, &kilobytes); err == nil {
					take(kilobytes << 10)
				}
			}
		}
	}
	if text, err := os.ReadFile("/sys/fs/cgroup/memory.max"); err == nil {
		var bytes int64
		if _, err := fmt.Sscan(string(text), &bytes); err == nil { // "max" is no number
			take(bytes)
		}
	}
	return least
}
