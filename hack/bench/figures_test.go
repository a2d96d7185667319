package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/sandkeep/sandkeep/hack/bench/figure"
	"github.com/sandkeep/sandkeep/hack/bench/meter"
	"github.com/sandkeep/sandkeep/hack/bench/program"
)

const (
	ms           = time.Millisecond
	testPatience = 20 * time.Second
)

func quantiles(p50, p99 float64) figure.Quantiles { return figure.Quantiles{P50: p50, P99: p99} }

var roughly = cmpopts.EquateApprox(0, 1e-6)

// livesAt makes lives that began a second apart; each had its pod after 0.5 s, ended after 2 s and settled after 3 s.
func livesAt(start time.Time, count int) []life {
	var lives []life
	for i := range count {
		began := start.Add(time.Duration(i) * time.Second)
		lives = append(lives, life{began, began.Add(500 * ms), began.Add(2 * time.Second), began.Add(3 * time.Second)})
	}
	return lives
}

func TestSeries(t *testing.T) {
	want := series{PerSecond: 4 / 3.5, Created: quantiles(500, 500), Ended: quantiles(2000, 2000)}
	if diff := cmp.Diff(want, seriesOf(livesAt(time.Now(), 4)), roughly); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestCost(t *testing.T) {
	before := program.Look{Resident: program.Resident{Now: 100, Peak: 150}, LiveHeap: 10, CPU: 1 * time.Second}
	after := program.Look{Resident: program.Resident{Now: 120, Peak: 200}, LiveHeap: 50, CPU: 2 * time.Second}
	tallies := map[meter.Call]meter.Tally{
		{Verb: "get", Resource: "sessions"}:          {Took: []time.Duration{ms, ms, ms, ms}},
		{Verb: "create", Resource: "events"}:         {Took: []time.Duration{ms, ms}},
		{Verb: "patch", Resource: "sessions/status"}: {Took: []time.Duration{ms, 2 * ms, 3 * ms, 4 * ms, 10 * ms, 20 * ms, 30 * ms, 5926 * ms}, Failed: 3},
		{Verb: "create", Resource: "pods"}:           {Took: []time.Duration{ms, ms, ms, ms}},
	}
	want := cost{
		RSS: sizes{100, 200, 120}, LiveHeap: sizes{Before: 10, After: 50}, RSSPerOne: 5, HeapPerOne: 10, CPUPerOneMS: 250,
		InFlight: 1.001, WritesPerOne: 3, EventsPerOne: 0.5,
		Calls: []calls{
			{"create", "pods", 1, 0, quantiles(1, 1)},
			{"patch", "sessions/status", 2, 3, quantiles(4, 5926)},
			{"create", "events", 0.5, 0, quantiles(1, 1)},
			{"get", "sessions", 1, 0, quantiles(1, 1)},
		},
	}
	if diff := cmp.Diff(want, costOf(before, after, tallies, livesAt(time.Now(), 4)), roughly); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestHeapThatShrinks(t *testing.T) {
	got := costOf(program.Look{LiveHeap: 30}, program.Look{LiveHeap: 10}, nil, livesAt(time.Now(), 2)).HeapPerOne
	if got != -10 {
		t.Errorf("%g bytes for each Session, want -10", got)
	}
}

// sample is a report with a figure in every place.
var sample = report{
	Setting:  setting{Count: 200, Nodes: 4, Clients: 8, WorkMS: 1000},
	Sessions: series{10, quantiles(400, 800), quantiles(2000, 3000)},
	Baseline: series{40, quantiles(100, 100), quantiles(1000, 1000)},
	Manager: cost{
		RSS: sizes{50 << 20, 75 << 20, 70 << 20}, LiveHeap: sizes{5 << 20, 0, 9 << 20}, RSSPerOne: 102400, HeapPerOne: 20480, CPUPerOneMS: 12.5,
		InFlight: 7.9, WritesPerOne: 6, EventsPerOne: 3,
		Calls: []calls{{"create", "pods", 1, 0, quantiles(20, 80)}, {"patch", "sessions/status", 3.02, 4, quantiles(21, 81)}},
	},
}

func TestTable(t *testing.T) {
	var out bytes.Buffer
	if err := writeTable(&out, sample); err != nil {
		t.Fatal(err)
	}
	want := `
200 Sessions, and as many bare pods of the same spec, on 4 fake nodes; 8 clients create them, as fast as they can;
every agent works for 1000 ms.

SPEED                        SESSIONS   BARE PODS   RATIO
pods created in a second     10.0       40.0        0.25
create to pod created, p50   400 ms     100 ms      4.00
create to pod created, p99   800 ms     100 ms      8.00
create to succeeded, p50     2000 ms    1000 ms     2.00
create to succeeded, p99     3000 ms    1000 ms     3.00

MANAGER           BEFORE     PEAK       AFTER      FOR EACH SESSION
resident memory   50.0 MiB   75.0 MiB   70.0 MiB   100.0 KiB
live heap         5.0 MiB               9.0 MiB    20.0 KiB
processor time                                     12.5 ms

REQUESTS OF THE MANAGER    FOR EACH SESSION   P50       P99       FAILED
create pods                1.00               20.0 ms   80.0 ms   0
patch sessions/status      3.02               21.0 ms   81.0 ms   4
all writes, Events apart   6.00

On average 7.9 requests of the manager were in flight.
`
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestHeadlineSaysWhatWasAskedFor(t *testing.T) {
	got := headline(setting{Count: 1, Nodes: 1, Clients: 2, Rate: 2.5, ManagerArgs: []string{"--concurrency=3"}})
	want := "1 Sessions, and as many bare pods of the same spec, on 1 fake nodes; 2 clients create them, 2.5 in a second;\n" +
		"every agent works for 0 ms. The manager runs with --concurrency=3."
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestTellKeepsTheFiguresAsJSON(t *testing.T) {
	b := benchOn(t)
	b.report = sample
	b.options = options{sessions: 200, nodes: 4, clients: 8, work: time.Second, jsonFile: filepath.Join(t.TempDir(), "figures.json")}
	var out bytes.Buffer
	if err := b.tell(&out); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(b.jsonFile)
	if err != nil {
		t.Fatal(err)
	}
	var got report
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(sample, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestFlags(t *testing.T) {
	good := options{sessions: 1, nodes: 1, clients: 1, patience: time.Second}
	if err := good.check(); err != nil {
		t.Error(err)
	}
	tests := map[string]struct {
		change func(*options)
		want   string
	}{
		"no sessions":    {func(o *options) { o.sessions = 0 }, "-sessions"},
		"no nodes":       {func(o *options) { o.nodes = 0 }, "-nodes"},
		"no clients":     {func(o *options) { o.clients = -1 }, "-clients"},
		"a rate below 0": {func(o *options) { o.rate = -1 }, "-rate"},
		"a time below 0": {func(o *options) { o.work = -1 }, "-work"},
		"no patience":    {func(o *options) { o.patience = 0 }, "-patience"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			o := good
			test.change(&o)
			wantError(t, o.check(), test.want)
		})
	}
}
