package accel_test

import (
	"context"
	"fmt"

	"github.com/stprune/workbench/stprune/accel"
)

// Open a backend, check that it computes, and close it.
func ExampleOpen() {
	ctx := context.Background()
	backend, err := accel.Open(ctx, "go", nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer backend.Close()
	fmt.Println(backend.Kind, backend.Config, accel.Check(ctx, backend))
	// Output: go go:ops_sequential <nil>
}
