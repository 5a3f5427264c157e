package accel

import (
	"context"
	"testing"
)

func TestQuick(t *testing.T) {
	b, err := Open(context.Background(), "auto", t.Output())
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%+v", b)
	t.Log(b.Description())
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
}
