package datasets

import (
	"slices"
	"strings"
	"testing"
)

func TestReadCoords(t *testing.T) {
	want := [][2]float64{{37.5, -121.25}, {-33, 151}}
	for name, text := range map[string]string{
		"header":          "sensor_id,lat,lon\nb,-33,151\nx,1,2\na,37.5,-121.25\n",
		"other names":     "ID,Type,Lat,Lng\na,ML,37.5,-121.25\nb,HV,-33,151\n",
		"other order":     "longitude,Latitude,station\n-121.25,37.5,a\n151,-33,b\n",
		"index as well":   "index,sensor_id,latitude,longitude\n0,a,37.5,-121.25\n1,b,-33,151\n",
		"by code":         "\"Station\",\"Code\",\"Latitude\",\"Longitude\"\n\"Alpha\",\"a\",\"37d30'N\",\"121d15'W\"\n\"Beta\",\"b\",\"33d00'S\",\"151d00'E\"\n",
		"no header":       "a,37.5,-121.25\nb, -33, 151\n",
		"pandas index":    ",lat,lon\na,37.5,-121.25\nb,-33,151\n",
		"same twice":      "id,lat,lon\na,37.5,-121.25\nb,-33,151\na,37.5,-121.25\n",
		"mark, semicolon": "\ufeffid;lat;lon\na;37.5;-121.25\nb;-33;151\n",
	} {
		for _, file := range []string{"c.csv", "c.csv.gz"} {
			got, err := readCoords(writeText(t, file, text), []string{"a", "b"})
			if err != nil {
				t.Errorf("%s: %v", name, err)
			} else if !slices.Equal(got, want) {
				t.Errorf("%s: %v", name, got)
			}
		}
	}
	// By position, where that is the column which knows the nodes.
	got, err := readCoords(writeText(t, "c.csv", "index,sensor_id,latitude,longitude\n0,a,37.5,-121.25\n1,b,-33,151\n"), []string{"1", "0"})
	if err != nil || !slices.Equal(got, [][2]float64{want[1], want[0]}) {
		t.Errorf("by index: %v, %v", got, err)
	}
}

func TestReadCoordsErrors(t *testing.T) {
	for text, says := range map[string][]string{
		"id,lat,lon\na,1,2\n":                   {"4 of the 5", "b, c, d, …"},
		"id,lat,lon\na,91,2\n":                  {"node a", "91", "swapped"},
		"id,lat,lon\na,1,-180.5\n":              {"longitude", "-180.5"},
		"id,lat,lon\na,1,x\n":                   {"node a", "x"},
		"id,lat,lon\na,nan,1\n":                 {"node a", "nan"},
		"id,lat,lon\na,1,2\na,1,3\n":            {"two places", "a"},
		"id,lat,lon\na,1\n":                     {"row 1"},
		"id,x,y\na,1,2\n":                       {"id, x, y", "lat"},
		"lat,lon\n1,2\n":                        {"lat, lon"},
		"id,lat,lon\na,1d60'N,2\n":              {"1d60'N"},
		"":                                      {"empty"},
		"id,lat,lon\nx,1,2\ny,1,2\n":            {"5 of the 5", "a, b, c, …"},
		"\"id,lat,lon\na,1,2\n":                 {},
		"index,sensor_id,lat,lon\n9,9,1,2\n\n1": {"row 2"},
	} {
		path := writeText(t, "c.csv", text)
		_, err := readCoords(path, []string{"a", "b", "c", "d", "e"})
		if err == nil {
			t.Errorf("%q: no error", text)
			continue
		}
		for _, s := range append(says, path) {
			if !strings.Contains(err.Error(), s) {
				t.Errorf("%q: %q is not in the error %v", text, s, err)
			}
		}
	}
}

func TestReadCoordsReal(t *testing.T) {
	bay := header(t, shared(t, "datasets", "pems-bay-67", "speed.csv.gz"))
	at, err := readCoords(shared(t, "datasets", "pems-bay-67", "graph_sensor_locations_bay.csv"), bay)
	if err != nil {
		t.Fatal(err)
	}
	if at[0] != [2]float64{37.253303, -121.945440} { // 400017
		t.Errorf("first sensor at %v", at[0])
	}
	for file, nodes := range map[string][]string{
		"metr-la-20/graph_sensor_locations.csv": header(t, shared(t, "datasets", "metr-la-20", "speed.csv.gz")),
		"melbourne-pedestrian/stations.csv":     header(t, shared(t, "datasets", "melbourne-pedestrian", "counts.csv.gz")),
		"irish-wind-12/stations.csv":            header(t, shared(t, "datasets", "irish-wind-12", "wind_daily.csv.gz")),
		"charged-ev/MEL/stations.csv":           header(t, shared(t, "datasets", "charged-ev", "MEL", "volume.csv.gz")),
		"beijing-aq-12/stations.csv":            {"Changping", "Aotizhongxin"},
	} {
		if _, err := readCoords(shared(t, "datasets", file), nodes); err != nil {
			t.Error(err)
		}
	}
}
