//go:build linux && cgo && !noxla && !asan && !msan

package accel

// hugepages.c is compiled into every program that opens XLA.

// #include <stddef.h>
import "C"
