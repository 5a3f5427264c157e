package stprune

import (
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
)

// Stream is the random stream of one purpose in one epoch: ChaCha8 keyed by SHA-256 of (seed, purpose, epoch), and by nothing
// else. Streams of different purposes or epochs are independent, and a resumed run gets the same ones without storing any
// generator's state. Pruners use the purpose "selection", and "choice" with the number of the step where they choose
// within batches; a trainer takes its own, such as "order", "init" and "dropout". What does not belong to an epoch uses epoch 0.
func Stream(seed uint64, purpose string, epoch int) *rand.Rand {
	return rand.New(rand.NewChaCha8(sha256.Sum256(fmt.Appendf(nil, "stprune stream/1 %d %d %s", seed, epoch, purpose))))
}
