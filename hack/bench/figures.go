package main

import (
	"cmp"
	"context"
	"math"
	"slices"
	"time"

	"github.com/sandkeep/sandkeep/hack/bench/meter"
)

// report is what a benchmark found. Times are in milliseconds, sizes in bytes.
type report struct {
	Setting  setting `json:"setting"`
	Sessions series  `json:"sessions"`
	Baseline series  `json:"baseline"`
	Manager  cost    `json:"manager"`
}

// setting is what a benchmark was asked for.
type setting struct {
	Count       int      `json:"count"`
	Nodes       int      `json:"nodes"`
	Clients     int      `json:"clients"`
	Rate        float64  `json:"rate"`
	WorkMS      float64  `json:"workMilliseconds"`
	ManagerArgs []string `json:"managerArgs,omitempty"`
}

// series is how quickly things went.
type series struct {
	// PerSecond is how many pods were created in a second, from the first request until the last pod.
	PerSecond float64 `json:"createdPerSecond"`
	// Created is the time from the request until the pod was seen, Ended until the success was.
	Created quantiles `json:"created"`
	Ended   quantiles `json:"ended"`
}

type quantiles struct {
	P50 float64 `json:"p50"`
	P99 float64 `json:"p99"`
}

// cost is what Sessions cost the manager and the API server.
type cost struct {
	RSS         sizes   `json:"rss"`
	LiveHeap    sizes   `json:"liveHeap"`
	RSSPerOne   float64 `json:"rssPerSession"`
	HeapPerOne  float64 `json:"liveHeapPerSession"`
	CPUPerOneMS float64 `json:"cpuMillisecondsPerSession"`
	// InFlight is how many requests the API server had from the manager, on average while Sessions ran.
	InFlight     float64 `json:"requestsInFlight"`
	WritesPerOne float64 `json:"writesPerSession"`
	EventsPerOne float64 `json:"eventsPerSession"`
	Calls        []calls `json:"calls"`
}

// sizes is a size before the Sessions, at its peak, and after them. The peak of the live heap is not known.
type sizes struct {
	Before uint64 `json:"before"`
	Peak   uint64 `json:"peak,omitempty"`
	After  uint64 `json:"after"`
}

// calls are the requests of one kind.
type calls struct {
	Verb     string    `json:"verb"`
	Resource string    `json:"resource"`
	PerOne   float64   `json:"perSession"`
	Failed   int       `json:"failed"`
	Took     quantiles `json:"took"`
}

// look is what the manager uses at a moment.
type look struct {
	resident
	heap uint64
	cpu  time.Duration
}

func (m *managerProcess) look(ctx context.Context) (look, error) {
	r, err := residentOf(m.cmd.Process.Pid)
	if err != nil {
		return look{}, err
	}
	u, err := m.usage(ctx) // collects garbage, so it comes after the look at what is resident
	return look{resident: r, heap: u.LiveHeap, cpu: u.CPU}, err
}

func seriesOf(lives []life) series {
	var first, last time.Time
	var created, ended []time.Duration
	for _, l := range lives {
		if first.IsZero() || l.began.Before(first) {
			first = l.began
		}
		if l.created.After(last) {
			last = l.created
		}
		created = append(created, l.created.Sub(l.began))
		ended = append(ended, l.ended.Sub(l.began))
	}
	return series{
		PerSecond: float64(len(lives)) / last.Sub(first).Seconds(),
		Created:   quantilesOf(created),
		Ended:     quantilesOf(ended),
	}
}

// quantilesOf takes the nearest rank, so that each is a time that was measured.
func quantilesOf(times []time.Duration) quantiles {
	sorted := slices.Sorted(slices.Values(times))
	at := func(q float64) float64 {
		if len(sorted) == 0 {
			return 0
		}
		return milliseconds(sorted[int(math.Ceil(q*float64(len(sorted))))-1])
	}
	return quantiles{P50: at(0.50), P99: at(0.99)}
}

func milliseconds(d time.Duration) float64 { return d.Seconds() * 1000 }

func costOf(before, after look, tallies map[meter.Call]meter.Tally, lives []life) cost {
	n := float64(len(lives))
	c := cost{
		RSS:         sizes{before.now, after.peak, after.now},
		LiveHeap:    sizes{Before: before.heap, After: after.heap},
		RSSPerOne:   (float64(after.now) - float64(before.now)) / n,
		HeapPerOne:  (float64(after.heap) - float64(before.heap)) / n,
		CPUPerOneMS: milliseconds(after.cpu-before.cpu) / n,
	}
	var busy time.Duration
	for call, tally := range tallies {
		perOne := float64(len(tally.Took)) / n
		c.Calls = append(c.Calls, calls{call.Verb, call.Resource, perOne, tally.Failed, quantilesOf(tally.Took)})
		switch {
		case call.Resource == "events":
			c.EventsPerOne += perOne
		case call.Writes():
			c.WritesPerOne += perOne
		}
		busy += sum(tally.Took)
	}
	c.InFlight = busy.Seconds() / span(lives).Seconds()
	slices.SortFunc(c.Calls, func(a, b calls) int {
		return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(a.Resource, b.Resource), cmp.Compare(a.Verb, b.Verb))
	})
	return c
}

// rank puts writes before events, and reads last.
func rank(c calls) int {
	switch {
	case c.Resource == "events":
		return 1
	case meter.Call{Verb: c.Verb}.Writes():
		return 0
	default:
		return 2
	}
}

func sum(times []time.Duration) time.Duration {
	var all time.Duration
	for _, t := range times {
		all += t
	}
	return all
}

// span is the time from the first request until the last Session has settled.
func span(lives []life) time.Duration {
	byBegin := slices.MinFunc(lives, func(a, b life) int { return a.began.Compare(b.began) })
	bySettled := slices.MaxFunc(lives, func(a, b life) int { return a.settled.Compare(b.settled) })
	return bySettled.settled.Sub(byBegin.began)
}
