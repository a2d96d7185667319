package identity

import (
	"net/netip"
	"sync"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/tools/cache"
)

// Addresses are those of pods, as a watch tells of them. The zero value has none.
type Addresses struct {
	mu   sync.RWMutex
	pods map[netip.Addr]int
}

// has is true for the host and port of a pod.
func (a *Addresses) has(hostPort string) bool {
	from, err := netip.ParseAddrPort(hostPort)
	if err != nil {
		return false
	}
	a.mu.RLock()
	defer a.mu.RUnlock()
	return a.pods[from.Addr().Unmap()] > 0
}

// OnAdd implements cache.ResourceEventHandler.
func (a *Addresses) OnAdd(o any, _ bool) { a.change(nil, o) }

// OnUpdate implements cache.ResourceEventHandler.
func (a *Addresses) OnUpdate(before, after any) { a.change(before, after) }

// OnDelete implements cache.ResourceEventHandler.
func (a *Addresses) OnDelete(o any) {
	if unseen, ok := o.(cache.DeletedFinalStateUnknown); ok {
		o = unseen.Obj
	}
	a.change(o, nil)
}

func (a *Addresses) change(before, after any) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.pods == nil {
		a.pods = map[netip.Addr]int{}
	}
	for _, ip := range addressesOf(after) {
		a.pods[ip]++
	}
	for _, ip := range addressesOf(before) {
		if a.pods[ip]--; a.pods[ip] <= 0 {
			delete(a.pods, ip)
		}
	}
}

func addressesOf(o any) (list []netip.Addr) {
	pod, ok := o.(*corev1.Pod)
	if !ok {
		return nil
	}
	for _, p := range pod.Status.PodIPs {
		if ip, err := netip.ParseAddr(p.IP); err == nil {
			list = append(list, ip.Unmap())
		}
	}
	return list
}

var _ cache.ResourceEventHandler = (*Addresses)(nil)
