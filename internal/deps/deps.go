// Package deps pins modules while the packages that use them are being written.
package deps

import (
	_ "github.com/alecthomas/kong"
	_ "github.com/gofrs/flock"
	_ "github.com/gomlx/compute/gobackend"
	_ "github.com/gomlx/go-xla/compute/xla"
	_ "github.com/gomlx/go-xla/installer"
	_ "github.com/gomlx/gomlx/core/graph"
	_ "github.com/janpfeifer/gonb/gonbui"
	_ "github.com/nlpodyssey/gopickle/pickle"
	_ "github.com/parquet-go/parquet-go"
	_ "github.com/pelletier/go-toml/v2"
	_ "github.com/sbinet/npyio/npz"
	_ "github.com/schollz/progressbar/v3"
	_ "github.com/scigolib/hdf5"
	_ "gonum.org/v1/gonum/stat"
	_ "gonum.org/v1/plot"
	_ "gonum.org/v1/plot/vg/vgimg"
	_ "gonum.org/v1/plot/vg/vgpdf"
	_ "gonum.org/v1/plot/vg/vgsvg"
)
