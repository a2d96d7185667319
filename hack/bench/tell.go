package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/sandkeep/sandkeep/hack/bench/figure"
)

// tell prints what was found.
func (b *bench) tell(out io.Writer) error {
	b.report.Setting = setting{b.sessions, b.nodes, b.clients, b.rate, figure.Milliseconds(b.work), b.managerArgs}
	return errors.Join(writeTable(out, b.report), b.writeJSON())
}

func (b *bench) writeJSON() error {
	if b.jsonFile == "" {
		return nil
	}
	text, err := json.MarshalIndent(b.report, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(b.jsonFile, append(text, '\n'), 0o644)
}

// writeTable prints a report for people.
func writeTable(out io.Writer, r report) error {
	_, err := fmt.Fprintf(out, "\n%s\n", headline(r.Setting))
	return errors.Join(err, writeSpeed(out, r), writeMemory(out, r.Manager), writeCalls(out, r.Manager))
}

func headline(s setting) string {
	pace := "as fast as they can"
	if s.Rate > 0 {
		pace = fmt.Sprintf("%g in a second", s.Rate)
	}
	text := fmt.Sprintf("%d Sessions, and as many bare pods of the same spec, on %d fake nodes; %d clients create them, %s;\nevery agent works for %.0f ms.",
		s.Count, s.Nodes, s.Clients, pace, s.WorkMS)
	if len(s.ManagerArgs) > 0 {
		text += " The manager runs with " + strings.Join(s.ManagerArgs, " ") + "."
	}
	return text
}

func writeSpeed(out io.Writer, r report) error {
	t := figure.NewTable(out, "SPEED", "SESSIONS", "BARE PODS", "RATIO")
	compare := func(name, format string, sessions, pods float64) {
		t.Row(name, fmt.Sprintf(format, sessions), fmt.Sprintf(format, pods), fmt.Sprintf("%.2f", sessions/pods))
	}
	s, p := r.Sessions, r.Baseline
	compare("pods created in a second", "%.1f", s.PerSecond, p.PerSecond)
	compare("create to pod created, p50", "%.0f ms", s.Created.P50, p.Created.P50)
	compare("create to pod created, p99", "%.0f ms", s.Created.P99, p.Created.P99)
	compare("create to succeeded, p50", "%.0f ms", s.Ended.P50, p.Ended.P50)
	compare("create to succeeded, p99", "%.0f ms", s.Ended.P99, p.Ended.P99)
	return t.Flush()
}

func writeMemory(out io.Writer, c cost) error {
	t := figure.NewTable(out, "MANAGER", "BEFORE", "PEAK", "AFTER", "FOR EACH SESSION")
	t.Row("resident memory", figure.MiB(c.RSS.Before), figure.MiB(c.RSS.Peak), figure.MiB(c.RSS.After), figure.KiB(c.RSSPerOne))
	t.Row("live heap", figure.MiB(c.LiveHeap.Before), "", figure.MiB(c.LiveHeap.After), figure.KiB(c.HeapPerOne))
	t.Row("processor time", "", "", "", fmt.Sprintf("%.1f ms", c.CPUPerOneMS))
	return t.Flush()
}

func writeCalls(out io.Writer, c cost) error {
	t := figure.NewTable(out, "REQUESTS OF THE MANAGER", "FOR EACH SESSION", "P50", "P99", "FAILED")
	for _, call := range c.Calls {
		t.Row(call.Verb+" "+call.Resource, fmt.Sprintf("%.2f", call.PerOne),
			fmt.Sprintf("%.1f ms", call.Took.P50), fmt.Sprintf("%.1f ms", call.Took.P99), fmt.Sprint(call.Failed))
	}
	t.Row("all writes, Events apart", fmt.Sprintf("%.2f", c.WritesPerOne))
	_, _ = fmt.Fprintf(t, "\nOn average %.1f requests of the manager were in flight.\n", c.InFlight) // Flush returns the error
	return t.Flush()
}
