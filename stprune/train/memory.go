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

// MemoryError says that a training step would need more memory than [Config].MemoryLimit.
type MemoryError struct{ Need, Limit int64 } // bytes; Need is an estimate from below

func (e *MemoryError) Error() string {
	return fmt.Sprintf("a training step would take at least %.1f GB, the limit is %.1f GB; "+
		"lower train.batch, choose a smaller model, or set its option recompute where it has one", float64(e.Need)/1e9, float64(e.Limit)/1e9)
}

// refuse ends the building of a step that would need more memory than may be used; limit 0 is none.
func refuse(loss *node, recompute bool, limit int64) {
	if need := stepBytes(loss, recompute); limit > 0 && need > limit {
		panic(error(&MemoryError{need, limit}))
	}
}

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
