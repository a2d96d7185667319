package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sandkeep/sandkeep/hack/bench/figure"
)

// TestASmallBenchmark runs everything that the benchmark does, with few requests: the programs are the real ones.
func TestASmallBenchmark(t *testing.T) {
	if testing.Short() {
		t.Skip("builds the gateway")
	}
	var out bytes.Buffer
	o := options{requests: 20, clients: 3, streams: 12, rounds: 2, span: 400 * time.Millisecond}
	if err := run(t.Context(), &out, o); err != nil {
		t.Fatalf("%v\n%s", err, &out)
	}
	for _, part := range []string{"goroutines, as before", "in status as at the provider", "THE SAME LOAD", "12 STREAMS AT A TIME", ">= 90 %", "<= 200 MB"} {
		if !strings.Contains(out.String(), part) {
			t.Errorf("no %q in:\n%s", part, &out)
		}
	}
}

func TestStreamsThatAreNotWhole(t *testing.T) {
	const begin = "event: message_start\ndata: {}\n\n"
	for name, test := range map[string]struct {
		text string
		fine bool
	}{
		"whole":               {begin + lastEvent, true},
		"cut":                 {begin, false},
		"cut in its last one": {begin + lastEvent[:len(lastEvent)-1], false},
		"without a beginning": {lastEvent, false},
		"empty":               {"", false},
	} {
		t.Run(name, func(t *testing.T) {
			half := len(test.text) / 2
			if err := whole(bytes.NewBufferString(test.text[:half]), strings.NewReader(test.text[half:])); (err == nil) != test.fine {
				t.Errorf("error %v", err)
			}
		})
	}
}

func TestTables(t *testing.T) {
	r := report{Streams: 2000, Requests: 100, Clients: 16,
		Gateway: figures{
			FirstByte: figure.Quantiles{P50: 1.25, P99: 4}, Whole: figure.Quantiles{P50: 3, P99: 8}, PerSecond: 950, CPU: 0.5,
			Streams: memory{RSS: change{50 << 20, 250 << 20}, Heap: change{10 << 20, 110 << 20}, Goroutines: change{60, 8060}},
		},
		Bare: figures{
			FirstByte: figure.Quantiles{P50: 1, P99: 1.5}, Whole: figure.Quantiles{P50: 2, P99: 4}, PerSecond: 1000, CPU: 0.4,
			Streams: memory{RSS: change{10 << 20, 160 << 20}, Heap: change{1 << 20, 101 << 20}, Goroutines: change{10, 6010}},
		},
	}
	want := `
THE SAME LOAD                      GATEWAY   BARE PROXY   ADDED      RATIO    TARGET
first byte of a stream, p50        1.25 ms   1.00 ms      +0.25 ms   1.25     <= 0.3 ms added, met
first byte of a stream, p99        4.00 ms   1.50 ms      +2.50 ms   2.67     <= 2.0 ms added, missed
whole stream, p50                  3.00 ms   2.00 ms      +1.00 ms   1.50     
whole stream, p99                  8.00 ms   4.00 ms      +4.00 ms   2.00     
processor time of a stream         0.50 ms   0.40 ms      +0.10 ms   1.25     
streams in a second, 16 at a time  950       1000                    95.0 %   >= 90 %, met
`
	var out bytes.Buffer
	if err := writeSpeed(&out, r); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(strings.Fields(want), strings.Fields(out.String())); diff != "" {
		t.Errorf("-want +got:\n%s\n%s", diff, &out)
	}
	out.Reset()
	if err := writeMemory(&out, r); err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{"210 MB", "102.4 KiB", "157 MB", "<= 200 MB, missed", "+8000", "+6000"} {
		if !strings.Contains(out.String(), part) {
			t.Errorf("no %q in:\n%s", part, &out)
		}
	}
}
