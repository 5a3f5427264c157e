package kernels_test

import (
	"fmt"
	"path/filepath"

	"github.com/stprune/workbench/kernels"
)

// What is installed in the checkout around the current folder?
func ExampleInspect() {
	root, err := kernels.Root(".")
	if err != nil {
		fmt.Println(err)
		return
	}
	status := kernels.Inspect(root)
	fmt.Println(filepath.Base(filepath.Join(status.Root, "go.mod")))
	// Output: go.mod
}
