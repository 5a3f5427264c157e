package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/stprune/workbench/kernels"
	"github.com/stprune/workbench/stprune/accel"
)

// setupCmd installs what computes and what shows notebooks.
type setupCmd struct {
	CPU     bool   `help:"XLA for the CPU, into the user's cache folder."`
	CUDA    bool   `name:"cuda" help:"XLA for NVIDIA GPUs with NVIDIA's libraries, about 3 GB, into the user's cache folder."`
	Jupyter bool   `help:"JupyterLab and the notebook kernels, into .venv and bin of the checkout."`
	Wheel   string `type:"existingfile" placeholder:"FILE" help:"With --cpu: take the plugin from this wheel, without network."`
}

func (c *setupCmd) Help() string {
	return "Without --cpu, --cuda or --jupyter it installs XLA for the CPU and Jupyter. What is there already is kept."
}

func (c *setupCmd) Run(ctx context.Context) error {
	if !c.CPU && !c.CUDA && !c.Jupyter {
		c.CPU, c.Jupyter = true, c.Wheel == ""
	}
	if c.Wheel != "" && !c.CPU {
		return errors.New("--wheel goes with --cpu")
	}
	var failed []error
	if c.CPU {
		if err := c.plugin(ctx, func() (accel.Plugin, error) { return accel.InstallCPU(ctx, c.Wheel, os.Stderr) }); err != nil {
			failed = append(failed, fmt.Errorf("XLA for the CPU is not installed; until it is, commands use the pure Go backend, about ten times slower: %w", err))
		}
	}
	if c.CUDA && ctx.Err() == nil {
		if err := c.plugin(ctx, func() (accel.Plugin, error) { return accel.InstallCUDA(ctx, os.Stderr) }); err != nil {
			failed = append(failed, err)
		}
	}
	if c.Jupyter && ctx.Err() == nil {
		root, err := kernels.Root(".")
		if err == nil {
			err = kernels.Install(ctx, root, os.Stderr)
		}
		if err != nil {
			failed = append(failed, err)
		}
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return errors.Join(failed...)
}

// plugin installs a plugin and checks that it computes.
func (c *setupCmd) plugin(ctx context.Context, install func() (accel.Plugin, error)) error {
	plugin, err := install()
	if err != nil {
		return err
	}
	backend, err := accel.Open(ctx, "xla:"+plugin.Path, os.Stderr)
	if err != nil {
		return err
	}
	defer backend.Close()
	if err := accel.Check(ctx, backend); err != nil {
		return err
	}
	fmt.Printf("XLA for %s works: %s, PJRT %s\n", plugin.Kind, plugin.Path, backend.API)
	return nil
}
