package datasets

import (
	"errors"
	"fmt"
	"io"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// readCoords reads the latitude and longitude of the nodes from a CSV file (also .gz). Its header names the columns: lat or
// latitude, lon, lng or longitude, and the ids. Of several columns that may hold the ids (sensor_id, index, …), it is the one
// with most of the nodes. A file without a header has the columns id, latitude, longitude. Degrees are decimal, or as in
// 51d56'N. Every node must be there.
func readCoords(path string, nodes []string) ([][2]float64, error) {
	at, err := coordsOf(path, nodes)
	if err != nil {
		return nil, fmt.Errorf("coordinates %s: %w", path, err)
	}
	return at, nil
}

// idColumns are names of columns with node ids, the most telling first.
var idColumns = []string{"sensor_id", "station_id", "node_id", "geo_id", "detid", "sensor", "station", "node", "id", "code", "name", "index", "idx", ""}

func coordsOf(path string, nodes []string) ([][2]float64, error) {
	rows, err := openCSVRows(path)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all [][]string
	for {
		row, err := rows.next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		all = append(all, row)
	}
	if len(all) == 0 {
		return nil, errors.New("the file is empty")
	}

	header := make([]string, len(all[0]))
	for i, h := range all[0] {
		header[i] = strings.ToLower(h)
	}
	find := func(names ...string) int {
		return slices.IndexFunc(header, func(h string) bool { return slices.Contains(names, h) })
	}
	lat, lon, ids := find("lat", "latitude"), find("lon", "lng", "long", "longitude"), []int{}
	switch {
	case lat >= 0 && lon >= 0:
		all = all[1:]
		for _, name := range idColumns {
			if i := find(name); i >= 0 {
				ids = append(ids, i)
			}
		}
	case len(header) >= 3 && numeric(header[1:3]):
		lat, lon, ids = 1, 2, []int{0}
	}
	if len(ids) == 0 {
		return nil, fmt.Errorf("the columns are %s; ids, lat (or latitude) and lon (or longitude) are needed: name them in a header, e.g. sensor_id,lat,lon",
			strings.Join(header, ", "))
	}

	index := make(map[string]int, len(nodes))
	for i, id := range nodes {
		index[id] = i
	}
	var best map[int][]string // the row of each node that is found
	for _, column := range ids {
		found := make(map[int][]string, len(nodes))
		for line, row := range all {
			if len(row) <= max(column, lat, lon) {
				return nil, fmt.Errorf("row %d has %d columns, at least %d are needed", line+1, len(row), max(column, lat, lon)+1)
			}
			node, ok := index[row[column]]
			if !ok {
				continue
			}
			if before, twice := found[node]; twice && (before[lat] != row[lat] || before[lon] != row[lon]) {
				if column == ids[0] {
					return nil, fmt.Errorf("two places for node %s: %s, %s and %s, %s; delete one", row[column], before[lat], before[lon], row[lat], row[lon])
				}
				continue // the name of a station may occur twice
			}
			found[node] = row
		}
		if len(found) > len(best) {
			best = found
		}
	}
	at, seen := make([][2]float64, len(nodes)), make([]bool, len(nodes))
	for i, row := range best {
		if at[i][0], err = degrees(row[lat], 90); err != nil {
			return nil, fmt.Errorf("latitude of node %s: %w", nodes[i], err)
		}
		if at[i][1], err = degrees(row[lon], 180); err != nil {
			return nil, fmt.Errorf("longitude of node %s: %w", nodes[i], err)
		}
		seen[i] = true
	}
	if missing := absent(nodes, seen); missing != "" {
		return nil, fmt.Errorf("%d of the %d nodes are not in it: %s; add them, or leave the coordinates out", len(nodes)-len(best), len(nodes), missing)
	}
	return at, nil
}

// degreesMinutes is how R prints degrees: 51d56'N or 52d16'56.791"N.
var degreesMinutes = regexp.MustCompile(`^(\d{1,3})d([0-5]?\d)'(?:([0-5]?\d(?:\.\d*)?)")?([NSEW])$`)

func degrees(text string, limit float64) (float64, error) {
	v, err := strconv.ParseFloat(text, 64)
	if parts := degreesMinutes.FindStringSubmatch(text); parts != nil {
		err = nil
		var part [3]float64
		for i := range part {
			part[i], _ = strconv.ParseFloat(parts[1+i], 64) // seconds may be absent
		}
		if v = part[0] + part[1]/60 + part[2]/3600; parts[4] == "S" || parts[4] == "W" {
			v = -v
		}
	}
	if err != nil || math.IsNaN(v) {
		return 0, fmt.Errorf("%q; a number in degrees is needed", text)
	}
	if math.Abs(v) > limit {
		return 0, fmt.Errorf("%v is beyond ±%v; are the columns of latitude and longitude swapped?", v, limit)
	}
	return v, nil
}
