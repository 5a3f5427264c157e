//go:build !cgo || noxla

package accel

const xlaBuilt = false

func openPlugin(Plugin, string) (*Backend, error) {
	return nil, ErrNotBuilt
}
