package session

// turn lets every worker that is awake reconcile once: a single one as it is, several with their calls interleaved in an order that the seed
// decides.
func (s *stage) turn() []result {
	workers := s.awake()
	if len(workers) == 1 {
		return []result{workers[0].reconcile(s)}
	}
	results := make([]result, len(workers))
	done := make([]chan struct{}, len(workers))
	for i, w := range workers {
		w.atCall, w.goOn, done[i] = make(chan struct{}), make(chan struct{}), make(chan struct{})
		go func() {
			results[i] = w.reconcile(s)
			close(done[i])
		}()
	}
	waiting := map[int]bool{} // the workers that stand before a call
	for i, w := range workers {
		waiting[i] = arrives(w, done[i])
	}
	for next := s.pick(waiting); next >= 0; next = s.pick(waiting) {
		workers[next].goOn <- struct{}{}
		waiting[next] = arrives(workers[next], done[next])
	}
	for _, w := range workers {
		w.atCall, w.goOn = nil, nil
	}
	return results
}

// arrives waits until a worker stands before its next call; it is false when there is none.
func arrives(w *worker, done chan struct{}) bool {
	select {
	case <-w.atCall:
		return true
	case <-done:
		return false
	}
}

// pick chooses who goes on; -1 when nobody is left.
func (s *stage) pick(waiting map[int]bool) int {
	var ready []int
	for i := range len(waiting) {
		if waiting[i] {
			ready = append(ready, i)
		}
	}
	if len(ready) == 0 {
		return -1
	}
	return ready[s.random.IntN(len(ready))]
}
