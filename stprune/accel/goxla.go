package accel

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/gomlx/go-xla/installer"
)

// installGoXLA has go-xla download the CPU plugin that it was tested with.
func installGoXLA(ctx context.Context, folder string) (Plugin, error) {
	target := filepath.Join(folder, goxlaDir, cpuPlugin)
	plugin := Plugin{Path: target, Kind: CPU, Source: "the cache folder (go-xla's installer)"}
	err := exclusively(ctx, folder, goxlaDir, io.Discard, func(work string) error {
		if checkLibrary(target) == nil {
			return nil
		}
		done := make(chan error, 1)
		go func() { done <- installer.AutoInstallPlugin(CPU, work, false, installer.Quiet) }()
		select {
		case <-ctx.Done(): // it can't be stopped; what it still writes is below work, which the next installation clears
			return ctx.Err()
		case err := <-done:
			if err != nil {
				return err
			}
		}
		unpacked, err := filepath.EvalSymlinks(filepath.Join(work, "go-xla", cpuPlugin))
		if err != nil {
			return err
		}
		if err := checkLibrary(unpacked); err != nil {
			return err
		}
		if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
			return err
		}
		return os.Rename(unpacked, target)
	})
	if err != nil {
		return Plugin{}, fmt.Errorf("go-xla's installer: %w", err)
	}
	return plugin, nil
}
