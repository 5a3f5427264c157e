package main

import (
	"fmt"
	"os"
	"text/tabwriter"

	"github.com/stprune/workbench/stprune/presets"
)

// presetsCmd lists the references' settings, or shows one.
type presetsCmd struct {
	Name string `arg:"" optional:"" help:"Preset to show as TOML. Without one, all are listed."`
	JSON bool   `help:"List them as JSON."`
}

func (c *presetsCmd) Run() error {
	if c.Name != "" {
		text, err := presets.TOML(c.Name)
		if err != nil {
			return err
		}
		_, err = os.Stdout.Write(text)
		return err
	}
	all := presets.List()
	if c.JSON {
		return printJSON(os.Stdout, all)
	}
	t := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	for _, p := range all {
		fmt.Fprintf(t, "%s\t%s\n", p.Name, p.Title)
	}
	return t.Flush()
}
