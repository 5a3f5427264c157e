package datasets

import (
	"math"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestApplySplitsByWindowIndex(t *testing.T) {
	for _, c := range []struct {
		steps            int
		ratio            [3]float64
		train, val, test int
	}{
		{123, [3]float64{6, 2, 2}, 60, 20, 20},
		{123, [3]float64{0.6, 0.2, 0.2}, 60, 20, 20},
		{38, [3]float64{7, 1, 2}, 10, 2, 3}, // 10.5 and 1.5, half to even
		{38, [3]float64{0.7, 0.1, 0.2}, 10, 2, 3},
	} {
		p := DefaultProtocol()
		p.Ratio = c.ratio
		w, err := p.Apply(ramp(c.steps, 2))
		if err != nil {
			t.Fatal(err)
		}
		if len(w.Train) != c.train || len(w.Val) != c.val || len(w.Test) != c.test {
			t.Errorf("%d steps, %v: %d, %d, %d windows; want %d, %d, %d", c.steps, c.ratio, len(w.Train), len(w.Val), len(w.Test), c.train, c.val, c.test)
		}
		all := slices.Concat(w.Train, w.Val, w.Test)
		for i, start := range all {
			if int(start) != i {
				t.Fatalf("window %d starts at %d: parts must be chronological and complete", i, start)
			}
		}
		if last := int(all[len(all)-1]) + 24; last != c.steps {
			t.Errorf("the last window ends before step %d of %d", last, c.steps)
		}
	}
}

func TestScalerSeesTrainingRowsOnly(t *testing.T) {
	s := ramp(123, 1)
	w, err := DefaultProtocol().Apply(s)
	if err != nil {
		t.Fatal(err)
	}
	rows := 60 - 1 + 12 // of the training histories: 0 … 70
	want := Scaler{Mean: float64(rows-1) / 2, Std: math.Sqrt((float64(rows*rows) - 1) / 12)}
	if math.Abs(w.Scaler.Mean-want.Mean) > 1e-12 || math.Abs(w.Scaler.Std-want.Std) > 1e-12 {
		t.Errorf("scaler %+v, want %+v", w.Scaler, want)
	}
	for i := rows; i < s.T; i++ { // the future must not matter
		s.Values[i] = 1e6
	}
	if again, err := DefaultProtocol().Apply(s); err != nil || again.Scaler != w.Scaler {
		t.Errorf("scaler %+v after the future changed, %v; want %+v", again.Scaler, err, w.Scaler)
	}
	s.Values[3] = float32(math.NaN()) // left out
	if again, err := DefaultProtocol().Apply(s); err != nil || !(again.Scaler.Mean > w.Scaler.Mean) {
		t.Errorf("scaler %+v with a gap at value 3, %v", again.Scaler, err)
	}
}

func TestApplySplitsByDates(t *testing.T) {
	s := ramp(240, 1) // from 2024-02-28 22:00, hourly
	p := DefaultProtocol()
	p.Dates = [2]time.Time{time.Date(2024, 3, 5, 0, 0, 0, 0, time.UTC), time.Date(2024, 3, 7, 0, 0, 0, 0, time.UTC)}
	w, err := p.Apply(s)
	if err != nil {
		t.Fatal(err)
	}
	lastTarget := func(start int32) time.Time { return s.Calendar.Time(int(start) + 23) }
	if got := lastTarget(w.Train[len(w.Train)-1]); !got.Equal(p.Dates[0].Add(-time.Hour)) {
		t.Errorf("the last training target is at %s", got)
	}
	if got := lastTarget(w.Val[0]); !got.Equal(p.Dates[0]) {
		t.Errorf("the first validation window ends at %s", got)
	}
	if got := lastTarget(w.Test[0]); !got.Equal(p.Dates[1]) {
		t.Errorf("the first test window ends at %s", got)
	}
}

func TestApplyRefuses(t *testing.T) {
	constant := ramp(60, 1)
	for i := range constant.Values {
		constant.Values[i] = 7
	}
	empty := ramp(60, 1)
	for i := range empty.Values {
		empty.Values[i] = float32(math.NaN())
	}
	day := func(d int) time.Time { return time.Date(2024, 3, d, 0, 0, 0, 0, time.UTC) }
	for want, c := range map[string]struct {
		s *Series
		p Protocol
	}{
		"need at least 26": {ramp(25, 1), DefaultProtocol()},
		"history 0":        {ramp(60, 1), Protocol{Horizon: 12, Ratio: [3]float64{6, 2, 2}}},
		"above 0":          {ramp(60, 1), Protocol{History: 12, Horizon: 12, Ratio: [3]float64{6, 0, 4}}},
		"at least one":     {ramp(60, 1), Protocol{History: 12, Horizon: 12, Ratio: [3]float64{1, 1, 1000}}},
		"before":           {ramp(60, 1), Protocol{History: 12, Horizon: 12, Dates: [2]time.Time{day(2), day(1)}}},
		"is constant":      {constant, DefaultProtocol()},
		"no measured":      {empty, DefaultProtocol()},
	} {
		if _, err := c.p.Apply(c.s); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want one with %q", err, want)
		}
	}
}
