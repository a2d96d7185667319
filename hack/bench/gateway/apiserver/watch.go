package apiserver

import (
	"encoding/json"
	"net/http"
	"strconv"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/apiserver/pkg/endpoints/request"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// backlog is how many events a watch may be behind. More than there are objects, so that nobody who puts one has to wait.
const backlog = 1 << 14

func event(kind watch.EventType, o client.Object) metav1.WatchEvent {
	return metav1.WatchEvent{Type: string(kind), Object: runtime.RawExtension{Object: o}}
}

// watch streams what happens to the objects of a resource until the client goes, and first what there is, where it asks for that
// (https://kubernetes.io/docs/reference/using-api/api-concepts/, "Streaming lists").
func (s *Server) watch(w http.ResponseWriter, r *http.Request, info *request.RequestInfo) {
	first, events := s.subscribe(info, r.URL.Query().Get("sendInitialEvents") == "true")
	defer s.unsubscribe(info, events)
	w.Header().Set("Content-Type", "application/json")
	encoder, flush := json.NewEncoder(w), http.NewResponseController(w).Flush
	for _, e := range first {
		if encoder.Encode(e) != nil {
			return
		}
	}
	for flush() == nil {
		select {
		case <-r.Context().Done():
			return
		case e := <-events:
			if encoder.Encode(e) != nil {
				return
			}
		}
	}
}

// subscribe are the events that a watch begins with, and where those that follow come.
func (s *Server) subscribe(info *request.RequestInfo, initial bool) ([]metav1.WatchEvent, chan metav1.WatchEvent) {
	s.mu.Lock()
	defer s.mu.Unlock()
	events := make(chan metav1.WatchEvent, backlog)
	at := s.stores[info.Resource]
	at.watches[events] = true
	if !initial {
		return nil, events
	}
	var first []metav1.WatchEvent
	for key, o := range at.objects {
		if info.Namespace == "" || info.Namespace == key.Namespace {
			first = append(first, event(watch.Added, o))
		}
	}
	k := kindOf(info.Resource)
	end := &metav1.PartialObjectMetadata{TypeMeta: metav1.TypeMeta{Kind: k.Kind, APIVersion: apiVersion(k)}}
	end.ResourceVersion, end.Annotations = strconv.Itoa(s.version), map[string]string{metav1.InitialEventsAnnotationKey: "true"}
	return append(first, event(watch.Bookmark, end)), events
}

func (s *Server) unsubscribe(info *request.RequestInfo, events chan metav1.WatchEvent) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.stores[info.Resource].watches, events)
}
