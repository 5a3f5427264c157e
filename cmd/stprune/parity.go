package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"

	"github.com/stprune/workbench/stprune/accel"
	"github.com/stprune/workbench/stprune/parity"
)

// parityCmd compares this implementation with arrays of reference implementations.
type parityCmd struct {
	Path    string `arg:"" type:"path" help:"Folder of reference arrays (X.npz with X.json), a sub-folder or one file of it."`
	Backend string `default:"auto" help:"Backend: auto, xla, go."`
	All     bool   `help:"List every array, not only those out of tolerance."`
	JSON    bool   `help:"One JSON object per array."`
}

func (c *parityCmd) Run(ctx context.Context) error {
	be, err := accel.Open(ctx, c.Backend, os.Stderr)
	if err != nil {
		return err
	}
	defer be.Close()
	type total struct {
		arrays, bad int
		worst       parity.Result // closest to, or furthest beyond, its tolerance
	}
	files := map[string]*total{}
	var order []string
	lines := json.NewEncoder(os.Stdout)
	bad := 0
	err = parity.Run(ctx, be.Backend, c.Path, func(r parity.Result) {
		f := files[r.File]
		if f == nil {
			f = &total{}
			files[r.File] = f
			order = append(order, r.File)
		}
		if r.Array != "" {
			f.arrays++
		}
		if !r.OK() {
			f.bad++
			bad++
		}
		if r.Problem == "" && (f.worst.Array == "" || r.Diff*f.worst.Tolerance > f.worst.Diff*r.Tolerance) {
			f.worst = r
		}
		switch {
		case c.JSON:
			_ = lines.Encode(r) // a closed pipe ends the program anyway
		case r.Problem != "":
			fmt.Printf("FAIL %s %s: %s\n", r.File, r.Array, r.Problem)
		case !r.OK():
			fmt.Printf("FAIL %s %s: largest difference %.3g, tolerance %.3g\n", r.File, r.Array, r.Diff, r.Tolerance)
		case c.All:
			fmt.Printf("ok   %s %s: largest difference %.3g, tolerance %.3g\n", r.File, r.Array, r.Diff, r.Tolerance)
		}
	})
	if err != nil {
		return err
	}
	if !c.JSON {
		for _, name := range order {
			f := files[name]
			fmt.Printf("%s: %d arrays, %d out of tolerance", name, f.arrays, f.bad)
			if f.worst.Array != "" {
				fmt.Printf("; closest to its tolerance: %s, %.3g of %.3g", f.worst.Array, f.worst.Diff, f.worst.Tolerance)
			}
			fmt.Println()
		}
	}
	if bad > 0 {
		return fmt.Errorf("parity on %s: %d differences", be.Kind, bad)
	}
	return nil
}
