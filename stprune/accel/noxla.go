//go:build !cgo || noxla

package accel

import "io"

const xlaBuilt = false

func openPlugin(Plugin, string, io.Writer) (*Backend, error) {
	return nil, ErrNotBuilt
}
