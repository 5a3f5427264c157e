package datasets

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// ErrNotFound is wrapped by the error of [Find].
var ErrNotFound = errors.New("no such data set")

// FoldersVariable is the environment variable that lists the folders in which data sets are looked for.
const FoldersVariable = "STPRUNE_DATA"

// Folders lists where data sets are looked for, the first of which takes new ones: STPRUNE_DATA (separated as in PATH), or
// stprune/data in the user's cache folder.
func Folders() []string {
	var folders []string
	for _, f := range filepath.SplitList(os.Getenv(FoldersVariable)) {
		if f != "" {
			folders = append(folders, f)
		}
	}
	if folders != nil {
		return folders
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = os.TempDir()
	}
	return []string{filepath.Join(cache, "stprune", "data")}
}

// Find returns the folder of a data set: a path (anything with a separator in it, or "."), or a name in one of the folders; nil
// means [Folders]. The error of an unknown name lists similar names and the folders searched.
func Find(name string, folders []string) (string, error) {
	if folders == nil {
		folders = Folders()
	}
	if name == "." || name == ".." || strings.ContainsRune(name, filepath.Separator) || strings.Contains(name, "/") {
		if isDataset(name) {
			return filepath.Clean(name), nil
		}
		return "", fmt.Errorf("%w: %s has no %s", ErrNotFound, name, cardFile)
	}
	var known []string
	for _, folder := range folders {
		if name != "" && isDataset(filepath.Join(folder, name)) {
			return filepath.Join(folder, name), nil
		}
		for _, l := range List([]string{folder}) {
			known = append(known, l.Name)
		}
	}
	for _, e := range Catalogue() {
		if e.Name == name {
			return "", fmt.Errorf("%w: %q is not here yet (searched %s); get it with 'stprune data get %s'", ErrNotFound, name, strings.Join(folders, ", "), name)
		}
		known = append(known, e.Name)
	}
	hint := ""
	if near := nearNames(name, known); len(near) > 0 {
		hint = "; did you mean " + strings.Join(near, " or ") + "?"
	}
	return "", fmt.Errorf("%w: %q%s (searched %s)", ErrNotFound, name, hint, strings.Join(folders, ", "))
}

// Listed is a data set found by [List].
type Listed struct {
	Name string // of its folder: what [Find] takes
	Dir  string
	Card Card
	Err  error // why its card can't be read
}

// List finds the data sets in folders, by name; of equal names in several folders the first is the one that [Find] takes, and
// the only one listed. Nil means [Folders].
func List(folders []string) []Listed {
	if folders == nil {
		folders = Folders()
	}
	var found []Listed
	seen := map[string]bool{}
	for _, folder := range folders {
		entries, err := os.ReadDir(folder)
		if err != nil {
			continue // a folder that isn't there has no data sets
		}
		for _, e := range entries {
			dir := filepath.Join(folder, e.Name())
			if strings.HasPrefix(e.Name(), ".") || seen[e.Name()] || !isDataset(dir) {
				continue
			}
			seen[e.Name()] = true
			card, err := OpenCard(dir)
			found = append(found, Listed{Name: e.Name(), Dir: dir, Card: card, Err: err})
		}
	}
	slices.SortFunc(found, func(a, b Listed) int { return strings.Compare(a.Name, b.Name) })
	return found
}

func isDataset(dir string) bool {
	info, err := os.Stat(filepath.Join(dir, cardFile))
	return err == nil && info.Mode().IsRegular()
}

// nearNames are up to three known names that are one slip of the pen, or a piece, away from name; the nearest first.
func nearNames(name string, known []string) []string {
	type near struct {
		name     string
		distance int
	}
	var all []near
	fold := strings.ToLower(name)
	for _, k := range known {
		d := editDistance(fold, strings.ToLower(k))
		if len(fold) >= 3 && (strings.Contains(strings.ToLower(k), fold) || strings.Contains(fold, strings.ToLower(k))) {
			d = min(d, 1)
		}
		if d <= max(2, len(name)/3) {
			all = append(all, near{k, d})
		}
	}
	slices.SortFunc(all, func(a, b near) int {
		if a.distance != b.distance {
			return a.distance - b.distance
		}
		return strings.Compare(a.name, b.name)
	})
	all = slices.Compact(all)
	names := make([]string, 0, 3)
	for _, n := range all[:min(3, len(all))] {
		names = append(names, n.name)
	}
	return names
}

// editDistance of Levenshtein, in bytes.
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for k := range row {
		row[k] = k
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for k := range len(b) {
			cost := diagonal
			if a[i] != b[k] {
				cost++
			}
			diagonal = row[k+1]
			row[k+1] = min(cost, row[k]+1, row[k+1]+1)
		}
	}
	return row[len(b)]
}
