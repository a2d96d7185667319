package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/sandkeep/sandkeep/hack/bench/figure"
	"github.com/sandkeep/sandkeep/hack/bench/program"
)

// Targets of what the gateway adds. They are printed beside the figures, and nothing fails by them: they hold for no machine but their own.
const (
	targetP50    = 0.3
	targetP99    = 2.0
	targetRatio  = 90.0
	targetMemory = 200e6
)

// report is what a benchmark found, of the gateway and of the bare proxy. Times are in milliseconds, sizes in bytes.
type report struct {
	Streams  int     `json:"streams"`
	Requests int     `json:"requests"`
	Clients  int     `json:"clients"`
	Gateway  figures `json:"gateway"`
	Bare     figures `json:"bare"`
}

// figures are those of one way to the provider.
type figures struct {
	FirstByte figure.Quantiles `json:"firstByte"`
	Whole     figure.Quantiles `json:"whole"`
	PerSecond float64          `json:"perSecond"`
	// CPU is the processor time for each request, which depends less than the rest on what else the machine does.
	CPU     float64 `json:"cpu"`
	Streams memory  `json:"streams"`
}

func (f *figures) addTimes(list []took) {
	var first, all []time.Duration
	for _, t := range list {
		first, all = append(first, t.firstByte), append(all, t.whole)
	}
	f.FirstByte, f.Whole = figure.QuantilesOf(first), figure.QuantilesOf(all)
}

// memory is what streams that are open at a time need.
type memory struct {
	RSS        change `json:"rss"`
	Heap       change `json:"liveHeap"`
	Goroutines change `json:"goroutines"`
}

// change is a figure before the streams, and while they are open; that of RSS is the peak up to then.
type change struct {
	Before uint64 `json:"before"`
	Open   uint64 `json:"open"`
}

func memoryOf(before, open program.Look) memory {
	return memory{
		RSS: change{before.Now, max(open.Now, open.Peak)}, Heap: change{before.LiveHeap, open.LiveHeap},
		Goroutines: change{uint64(before.Goroutines), uint64(open.Goroutines)},
	}
}

func (c change) growth() float64 { return float64(c.Open) - float64(c.Before) }

// tell prints what was found.
func (b *bench) tell(out io.Writer) error {
	b.report.Streams, b.report.Requests, b.report.Clients = b.streams, b.requests, b.clients
	if b.jsonFile == "" {
		return writeTables(out, b.report)
	}
	text, err := json.MarshalIndent(b.report, "", "  ")
	return errors.Join(writeTables(out, b.report), err, os.WriteFile(b.jsonFile, append(text, '\n'), 0o644))
}

// writeTables prints a report for people.
func writeTables(out io.Writer, r report) error {
	return errors.Join(writeSpeed(out, r), writeMemory(out, r))
}

func writeSpeed(out io.Writer, r report) error {
	g, b := r.Gateway, r.Bare
	t := figure.NewTable(out, "THE SAME LOAD", "GATEWAY", "BARE PROXY", "ADDED", "RATIO", "TARGET")
	row := func(what string, gateway, bare float64, target string) {
		t.Row(what, fmt.Sprintf("%.2f ms", gateway), fmt.Sprintf("%.2f ms", bare), fmt.Sprintf("%+.2f ms", gateway-bare), fmt.Sprintf("%.2f", gateway/bare), target)
	}
	row("first byte of a stream, p50", g.FirstByte.P50, b.FirstByte.P50, added(targetP50, g.FirstByte.P50-b.FirstByte.P50))
	row("first byte of a stream, p99", g.FirstByte.P99, b.FirstByte.P99, added(targetP99, g.FirstByte.P99-b.FirstByte.P99))
	row("whole stream, p50", g.Whole.P50, b.Whole.P50, "")
	row("whole stream, p99", g.Whole.P99, b.Whole.P99, "")
	row("processor time of a stream", g.CPU, b.CPU, "")
	ratio := 100 * g.PerSecond / b.PerSecond
	t.Row(fmt.Sprintf("streams in a second, %d at a time", r.Clients), fmt.Sprintf("%.0f", g.PerSecond), fmt.Sprintf("%.0f", b.PerSecond), "",
		fmt.Sprintf("%.1f %%", ratio), fmt.Sprintf(">= %.0f %%%s", targetRatio, missed(ratio < targetRatio)))
	return t.Flush()
}

func writeMemory(out io.Writer, r report) error {
	t := figure.NewTable(out, fmt.Sprintf("%d STREAMS AT A TIME", r.Streams), "BEFORE", "OPEN", "GROWTH", "FOR EACH", "BARE PROXY'S GROWTH", "TARGET")
	row := func(what string, g, b change, target string) {
		t.Row(what, figure.MiB(g.Before), figure.MiB(g.Open), megabytes(g.growth()), figure.KiB(g.growth()/float64(r.Streams)), megabytes(b.growth()), target)
	}
	g, b := r.Gateway.Streams, r.Bare.Streams
	row("resident memory, peak", g.RSS, b.RSS, fmt.Sprintf("<= %s%s", megabytes(targetMemory), missed(g.RSS.growth() > targetMemory)))
	row("live heap", g.Heap, b.Heap, "")
	t.Row("goroutines", fmt.Sprint(g.Goroutines.Before), fmt.Sprint(g.Goroutines.Open), fmt.Sprintf("%+.0f", g.Goroutines.growth()), "",
		fmt.Sprintf("%+.0f", b.Goroutines.growth()), "as before, once they have ended: held")
	return t.Flush()
}

func added(target, got float64) string {
	return fmt.Sprintf("<= %.1f ms added%s", target, missed(got > target))
}

func missed(is bool) string {
	if is {
		return ", missed"
	}
	return ", met"
}

func megabytes(bytes float64) string { return fmt.Sprintf("%.0f MB", bytes/1e6) }
