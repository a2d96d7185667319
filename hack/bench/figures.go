package main

import (
	"cmp"
	"slices"
	"time"

	"github.com/sandkeep/sandkeep/hack/bench/figure"
	"github.com/sandkeep/sandkeep/hack/bench/meter"
	"github.com/sandkeep/sandkeep/hack/bench/program"
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
	Created figure.Quantiles `json:"created"`
	Ended   figure.Quantiles `json:"ended"`
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
	Verb     string           `json:"verb"`
	Resource string           `json:"resource"`
	PerOne   float64          `json:"perSession"`
	Failed   int              `json:"failed"`
	Took     figure.Quantiles `json:"took"`
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
		Created:   figure.QuantilesOf(created),
		Ended:     figure.QuantilesOf(ended),
	}
}

func costOf(before, after program.Look, tallies map[meter.Call]meter.Tally, lives []life) cost {
	n := float64(len(lives))
	c := cost{
		RSS:         sizes{before.Now, after.Peak, after.Now},
		LiveHeap:    sizes{Before: before.LiveHeap, After: after.LiveHeap},
		RSSPerOne:   (float64(after.Now) - float64(before.Now)) / n,
		HeapPerOne:  (float64(after.LiveHeap) - float64(before.LiveHeap)) / n,
		CPUPerOneMS: figure.Milliseconds(after.CPU-before.CPU) / n,
	}
	var busy time.Duration
	for call, tally := range tallies {
		perOne := float64(len(tally.Took)) / n
		c.Calls = append(c.Calls, calls{call.Verb, call.Resource, perOne, tally.Failed, figure.QuantilesOf(tally.Took)})
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
