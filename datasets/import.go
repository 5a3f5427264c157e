package datasets

import "time"

// table is what a reader finds in a file: the values, and whatever else the file itself says. [Import] fills in the rest.
type table struct {
	T, N   int
	Values []float32     // [T,N] row-major, raw units; NaN where the file has nothing
	Times  []time.Time   // [T]; nil when the file has no time stamps
	Step   time.Duration // 0 when the file doesn't say
	Nodes  []string      // [N] ids; nil when the file has none
	Coords [][2]float64  // [N] latitude, longitude; nil when the file has none
	Graph  *Graph        // nil when the file has none
}

// ImportOptions say what the files themselves don't. The zero value imports what is self-explanatory.
type ImportOptions struct {
	Name    string        // of the data set; default: the file's name without its endings
	Unit    string        // of the values; free text
	Step    time.Duration // between rows; default: what the file says, or the most frequent difference of its time stamps
	Start   time.Time     // of the first row, for files without time stamps
	Slots   int           // see [Calendar.Slots]
	Missing float32       // the value that marks a missing measurement; NaN ([NoMissing]) when only NaN and empty cells do
	Key     string        // which array of an .npz or HDF5 file; default: the only one, or data
	Channel int           // which of the channels of [T,N,C] arrays; which column of LibCity's .dyna (by default the first)
	Graph   string        // file of the graph; see [ReadGraph]
	Coords  string        // file of the coordinates; see [readCoords]
	NodeIDs string        // file with a node id per line, for formats that name none
}
