package parity

import "github.com/stprune/workbench/stprune/backbone"

func staeformerConfig(_ *golden, c config) (backbone.Config, error) {
	return backbone.Config{
		Nodes: c.int("num_nodes"), History: c.int("in_steps"), Horizon: c.int("out_steps"), StepsPerDay: c.int("steps_per_day"),
		Options: map[string]any{
			"embed_dim": c.int("input_embedding_dim"), "tod_dim": c.int("tod_embedding_dim"), "dow_dim": c.int("dow_embedding_dim"),
			"node_dim": c.int("spatial_embedding_dim"), "adaptive_dim": c.int("adaptive_embedding_dim"),
			"ff_dim": c.int("feed_forward_dim"), "heads": c.int("num_heads"), "layers": c.int("num_layers"), "dropout": 0.0,
		},
	}, nil
}

// staeformerVariants are the other ways to compute attention.
var staeformerVariants = []map[string]any{{"attention": "single"}, {"attention": "whole"}}
