// Package figure writes what benchmarks found, for people.
package figure

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// Quantiles are times in milliseconds.
type Quantiles struct {
	P50 float64 `json:"p50"`
	P99 float64 `json:"p99"`
}

// QuantilesOf takes the nearest rank, so that each is a time that was measured.
func QuantilesOf(times []time.Duration) Quantiles {
	sorted := slices.Sorted(slices.Values(times))
	at := func(q float64) float64 {
		if len(sorted) == 0 {
			return 0
		}
		return Milliseconds(sorted[int(math.Ceil(q*float64(len(sorted))))-1])
	}
	return Quantiles{P50: at(0.50), P99: at(0.99)}
}

// Milliseconds is a time as a number.
func Milliseconds(d time.Duration) float64 { return d.Seconds() * 1000 }

// MiB is a size as people read it.
func MiB(bytes uint64) string { return fmt.Sprintf("%.1f MiB", float64(bytes)/(1<<20)) }

// KiB is a small size as people read it; it may be negative.
func KiB(bytes float64) string { return fmt.Sprintf("%.1f KiB", bytes/(1<<10)) }

// Table is columns of text under titles, after an empty line.
type Table struct{ *tabwriter.Writer }

// NewTable begins a table. Flush writes it, and returns what went wrong before.
func NewTable(out io.Writer, titles ...string) Table {
	t := Table{tabwriter.NewWriter(out, 0, 0, 3, ' ', 0)}
	_, _ = fmt.Fprintln(t) // Flush returns the error
	t.Row(titles...)
	return t
}

// Row adds a line.
func (t Table) Row(cells ...string) {
	_, _ = fmt.Fprintln(t, strings.Join(cells, "\t")) // Flush returns the error
}
