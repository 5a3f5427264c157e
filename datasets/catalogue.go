package datasets

import (
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Entry is a public data set of the field: where it comes from and how it is read.
type Entry struct {
	Name    string // of its folder
	Title   string
	T, N    int // as published
	Step    time.Duration
	Unit    string
	Licence string
	Source  string // page that documents it

	// Tried says that download and import were run against the source itself. False: they follow its documentation, the
	// downloader and the readers are tested, but nobody has tried the two together yet.
	Tried bool

	Files  []Remote // what [Get] downloads; empty when ByHand says how to get it
	ByHand string   // where to get what can't be downloaded by a program, and which files

	importing
}

// importing is how the files of an entry are read.
type importing struct {
	file, graph, coords, nodes string // names among the files
	key                        string
	channel                    int
	start                      string // for files without time stamps
	missing                    string // 0 or nan
}

const (
	zenodoSpeeds  = "https://zenodo.org/records/5724362/files/"
	zenodoFlows   = "https://zenodo.org/records/7816008/files/"
	dcrnnGraphs   = "https://raw.githubusercontent.com/liyaguang/DCRNN/602afd9d767d3aa1c9b3eac51710d6aeee12c227/data/sensor_graph/"
	urbanEV       = "https://raw.githubusercontent.com/IntelligentSystemsLab/UrbanEV/14a019a3456a7bfafe32ac660ef10a2fb7b7fe4f/data/"
	largestByHand = "Download the files of https://www.kaggle.com/datasets/liuxu77/largest (free account) into data/ca of a clone of https://github.com/liuxu77/LargeST, " +
		"then run data/ca/process_ca_his.ipynb"
	largestSource = "https://github.com/liuxu77/LargeST (Liu et al., NeurIPS 2023, arXiv 2306.08259)"
)

// Catalogue lists the field's public data sets by name.
func Catalogue() []Entry {
	flows := func(name, start string, steps, nodes int, files []Remote, ids string) Entry {
		return Entry{
			Name: strings.ToLower(name), Title: name + ", flow at loop detectors (Caltrans PeMS)", T: steps, N: nodes,
			Step: 5 * time.Minute, Unit: "vehicles per 5 min", Licence: "CC BY 4.0 (the deposit)",
			Source: "https://zenodo.org/records/7816008 (as in Song et al., STSGCN, AAAI 2020)", Files: files,
			importing: importing{file: name + ".npz", graph: name + ".csv", nodes: ids, key: "data", start: start, missing: "0"},
		}
	}
	largest := func(short, title string, nodes int) Entry {
		how := largestByHand
		if short != "ca" {
			how += " and data/" + short + "/generate_" + short + "_dataset.ipynb"
		}
		return Entry{
			Name: "largest-" + short, Title: "LargeST " + title + ", flow in 2019 (Caltrans PeMS)", T: 35040, N: nodes,
			Step: 15 * time.Minute, Unit: "vehicles per 5 min", Licence: "CC BY-NC 4.0", Source: largestSource,
			ByHand: how + ", for the year 2019; then, in data/" + short,
			importing: importing{
				file: short + "_his_2019.h5", graph: short + "_rn_adj.npy", coords: short + "_meta.csv", missing: "0",
			},
		}
	}
	return []Entry{
		{
			Name: "knowair", Title: "KnowAir, PM2.5 in 184 Chinese cities", T: 11688, N: 184, Step: 3 * time.Hour, Unit: "µg/m³",
			Licence: "none stated for the data (code MIT)", Source: "https://github.com/shuowang-ai/PM2.5-GNN (Wang et al., SIGSPATIAL 2020)",
			ByHand:    "Download KnowAir.npy from https://drive.google.com/open?id=1R6hS5VAgjJQ_wu8i5qoLjIxY0BG7RD1L (linked from the source page); then, beside it",
			importing: importing{file: "KnowAir.npy", channel: 17, start: "2015-01-01", missing: "nan"},
		},
		largest("ca", "California", 8600),
		largest("gba", "Greater Bay Area", 2352),
		largest("gla", "Greater Los Angeles", 3834),
		largest("sd", "San Diego", 716),
		{
			Name: "metr-la", Title: "METR-LA, speed at loop detectors in Los Angeles", T: 34272, N: 207, Step: 5 * time.Minute, Unit: "mph",
			Licence: "CC BY 4.0 (the deposit)", Source: "https://zenodo.org/records/5724362 (Li et al., DCRNN, ICLR 2018)",
			Files: []Remote{
				{"METR-LA.csv", zenodoSpeeds + "METR-LA.csv?download=1", "sha256:8d67a35472db1719d7d4be851f2bf64cb21d9c52577c8a6b4b873d43205af381"},
				{"adj_mx.pkl", dcrnnGraphs + "adj_mx.pkl", "sha256:a35687c6e15aa228dc45027b0ed2a0ea0f4ec78f573deb992c595092d12f61b3"},
				{"graph_sensor_locations.csv", dcrnnGraphs + "graph_sensor_locations.csv", "sha256:eb8ea96e07358b45d0e4ba3b89c2673fa20c54af50150249e627389e749ade6f"},
			},
			importing: importing{file: "METR-LA.csv", graph: "adj_mx.pkl", coords: "graph_sensor_locations.csv", missing: "0"},
		},
		{
			Name: "pems-bay", Title: "PEMS-BAY, speed at loop detectors around San Francisco Bay", T: 52116, N: 325, Step: 5 * time.Minute, Unit: "mph",
			Licence: "CC BY 4.0 (the deposit)", Source: "https://zenodo.org/records/5724362 (Li et al., DCRNN, ICLR 2018)",
			Files: []Remote{
				{"PEMS-BAY.csv", zenodoSpeeds + "PEMS-BAY.csv?download=1", ""},
				{"adj_mx_bay.pkl", dcrnnGraphs + "adj_mx_bay.pkl", "sha256:116275f5704d0d492018e14c047f7ae5004385b450aa907f88424055a4a97370"},
				{"graph_sensor_locations_bay.csv", dcrnnGraphs + "graph_sensor_locations_bay.csv", "sha256:276ee01059610774d4e59572507f7e32eaac21f1f5882fcd9e3d7d426a4b7a6c"},
			},
			importing: importing{file: "PEMS-BAY.csv", graph: "adj_mx_bay.pkl", coords: "graph_sensor_locations_bay.csv", missing: "0"},
		},
		flows("PEMS03", "2018-09-01", 26208, 358, []Remote{
			{"PEMS03.npz", zenodoFlows + "PEMS03.npz?download=1", "md5:651add9bb9eaf7f5eda2f2ee8778a182"},
			{"PEMS03.csv", zenodoFlows + "PEMS03.csv?download=1", "md5:e6cf2ef1e1a9957aeec678a30b7ce7a7"},
			{"PEMS03.txt", zenodoFlows + "PEMS03.txt?download=1", "md5:a52b864fbbe9d852ebdd08f6191a987f"},
		}, "PEMS03.txt"),
		flows("PEMS04", "2018-01-01", 16992, 307, []Remote{
			{"PEMS04.npz", zenodoFlows + "PEMS04.npz?download=1", "md5:5238832691101da85fcac772a32051da"},
			{"PEMS04.csv", zenodoFlows + "PEMS04.csv?download=1", "md5:3990731ec980019a875a6d5723523855"},
		}, ""),
		flows("PEMS07", "2017-05-01", 28224, 883, []Remote{
			{"PEMS07.npz", zenodoFlows + "PEMS07.npz?download=1", "md5:978d3d9b85fe640a446983a34271a48d"},
			{"PEMS07.csv", zenodoFlows + "PEMS07.csv?download=1", "md5:cea609fed853ade176cb1c5eae0aeda0"},
		}, ""),
		flows("PEMS08", "2016-07-01", 17856, 170, []Remote{
			{"PEMS08.npz", zenodoFlows + "PEMS08.npz?download=1", "md5:2a528d169c0d90294c9e24288a430132"},
			{"PEMS08.csv", zenodoFlows + "PEMS08.csv?download=1", "md5:5e507b2b18d9235e95b63a20221cd4c5"},
		}, ""),
		{
			Name: "urbanev", Title: "UrbanEV, charging piles in use in 275 zones of Shenzhen", T: 4344, N: 275, Step: time.Hour, Unit: "piles",
			Licence: "CC0 1.0", Source: "https://github.com/IntelligentSystemsLab/UrbanEV (Li et al., Scientific Data 2025)",
			Files: []Remote{
				{"occupancy.csv", urbanEV + "occupancy.csv", "git:d1f03f65919fa1bf2872c5bb8b500cb90e7d71fb"},
				{"adj.csv", urbanEV + "adj.csv", "git:0e259d42c996742e9e3cba14c677129b2c1b6311"},
			},
			importing: importing{file: "occupancy.csv", graph: "adj.csv", missing: "nan"},
		},
	}
}

// ImportCommand is the command that imports the entry's files from dir.
func (e Entry) ImportCommand(dir string) string {
	quote := func(s string) string {
		if strings.ContainsAny(s, " '\"$\\&;()") {
			return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
		}
		return s
	}
	words := []string{"stprune", "data", "import", quote(filepath.Join(dir, e.file)), "--name", e.Name, "--step", stepText(e.Step), "--missing", e.missing}
	for _, f := range []struct{ flag, file string }{{"--graph", e.graph}, {"--coords", e.coords}, {"--node-ids", e.nodes}} {
		if f.file != "" {
			words = append(words, f.flag, quote(filepath.Join(dir, f.file)))
		}
	}
	if e.key != "" {
		words = append(words, "--key", e.key)
	}
	if e.channel > 0 {
		words = append(words, "--channel", strconv.Itoa(e.channel))
	}
	if e.start != "" {
		words = append(words, "--start", e.start)
	}
	return strings.Join(append(words, "--unit", quote(e.Unit), "--licence", quote(e.Licence), "--source", quote(e.Source)), " ")
}

// ByHandError says how to get a data set that no program can download.
type ByHandError struct{ Entry Entry }

func (e *ByHandError) Error() string {
	return fmt.Sprintf("data set %s can't be downloaded by a program. %s:\n  %s", e.Entry.Name, e.Entry.ByHand, e.Entry.ImportCommand(""))
}
