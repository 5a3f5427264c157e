//go:build !cgo || noxla

package accel

import "errors"

const xlaBuilt = false

func openPlugin(Plugin, string) (*Backend, error) {
	return nil, errors.New("this program was built without XLA")
}
