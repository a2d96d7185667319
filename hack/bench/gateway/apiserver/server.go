// Package apiserver stands in for an API server: it has objects in memory, lets them be listed and watched, reviews tokens, and takes what a gateway
// writes into the status of Sessions. It is asked by HTTP, so that a program keeps before it the clients and the caches that it has in a cluster;
// and it needs no cluster, whose own work would be measured with the program's.
package apiserver

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/apiserver/pkg/authentication/serviceaccount"
	"k8s.io/apiserver/pkg/endpoints/request"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"

	v1alpha1 "github.com/sandkeep/sandkeep/api/v1alpha1"
)

var resolver = request.RequestInfoFactory{
	APIPrefixes: map[string]sets.Empty{"api": {}, "apis": {}}, GrouplessAPIPrefixes: map[string]sets.Empty{"api": {}},
}

// Server is the stand-in.
type Server struct {
	scheme *runtime.Scheme
	http   *http.Server
	url    string

	mu      sync.Mutex
	version int
	stores  map[string]*store
	tokens  map[string]*corev1.Pod
	// asked is when somebody asked for anything but a watch.
	asked time.Time
}

// store has the objects of one resource, and who watches them.
type store struct {
	objects map[client.ObjectKey]client.Object
	watches map[chan metav1.WatchEvent]bool
}

// Start serves on this machine only.
func Start(ctx context.Context, scheme *runtime.Scheme) (*Server, error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen as API server: %w", err)
	}
	s := &Server{scheme: scheme, url: "http://" + listener.Addr().String(), stores: map[string]*store{}, tokens: map[string]*corev1.Pod{}}
	for _, k := range kinds {
		s.stores[k.Name] = &store{objects: map[client.ObjectKey]client.Object{}, watches: map[chan metav1.WatchEvent]bool{}}
	}
	s.http = &http.Server{Handler: s, ReadHeaderTimeout: time.Minute}
	go func() { _ = s.http.Serve(listener) }() // it ends with Close
	return s, nil
}

// URL is the address of the server.
func (s *Server) URL() string { return s.url }

// Close ends all watches.
func (s *Server) Close() error { return s.http.Close() }

// Put makes objects known.
func (s *Server) Put(objects ...client.Object) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, o := range objects {
		if err := s.put(o); err != nil {
			return err
		}
	}
	return nil
}

// Bind makes a token prove that it is a pod's.
func (s *Server) Bind(token string, pod *corev1.Pod) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tokens[token] = pod
}

// Sessions are the Sessions as they are now.
func (s *Server) Sessions() []*v1alpha1.Session {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []*v1alpha1.Session
	for _, o := range s.stores["sessions"].objects {
		list = append(list, o.(*v1alpha1.Session))
	}
	return list
}

// Idle is for how long nobody has asked for anything but a watch.
func (s *Server) Idle() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return time.Since(s.asked)
}

// put stores an object and tells who watches. The mutex is held.
func (s *Server) put(o client.Object) error {
	gvk, err := apiutil.GVKForObject(o, s.scheme)
	if err != nil {
		return err
	}
	at := s.stores[resourceOf(gvk)]
	if at == nil {
		return fmt.Errorf("the API server does not know %s", gvk)
	}
	o = o.DeepCopyObject().(client.Object)
	o.GetObjectKind().SetGroupVersionKind(gvk)
	s.version++
	o.SetResourceVersion(strconv.Itoa(s.version))
	key := client.ObjectKeyFromObject(o)
	kind := watch.Added
	if at.objects[key] != nil {
		kind = watch.Modified
	}
	at.objects[key] = o
	for c := range at.watches {
		c <- event(kind, o)
	}
	return nil
}

// ServeHTTP answers as an API server does.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	info, err := resolver.NewRequestInfo(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if info.Verb == "watch" {
		s.watch(w, r, info)
		return
	}
	s.mu.Lock()
	s.asked = time.Now()
	s.mu.Unlock()
	w.Header().Set("Connection", "close") // so that programs have as many goroutines after their work as before it
	body, err := s.answer(r, info)
	if err != nil {
		refuse(w, err)
		return
	}
	write(w, http.StatusOK, body)
}

// answer is the answer to anything but a watch.
func (s *Server) answer(r *http.Request, info *request.RequestInfo) (any, error) {
	if !info.IsResourceRequest {
		return discovery(r.URL.Path)
	}
	switch at := info.Verb + " " + info.Resource + "/" + info.Subresource; {
	case info.Verb == "list":
		return s.list(info), nil
	case info.Verb == "get":
		return s.get(info)
	case at == "create tokenreviews/":
		return s.review(r.Body)
	case at == "create subjectaccessreviews/":
		return permit(r.Body)
	case at == "patch sessions/status":
		return s.patch(r.Body, info)
	case at == "patch leases/":
		return s.renew(r.Body)
	case info.Resource == "events" || at == "patch configmaps/":
		body, err := io.ReadAll(r.Body) // nobody here looks at these
		return json.RawMessage(body), err
	default:
		return nil, apierrors.NewMethodNotSupported(groupResource(info), info.Verb)
	}
}

// list are all objects of a resource, in one namespace or all. Selectors are not looked at: there are no objects but those that are looked for.
func (s *Server) list(info *request.RequestInfo) any {
	s.mu.Lock()
	defer s.mu.Unlock()
	items := []client.Object{}
	for key, o := range s.stores[info.Resource].objects {
		if info.Namespace == "" || info.Namespace == key.Namespace {
			items = append(items, o)
		}
	}
	k := kindOf(info.Resource)
	return map[string]any{
		"kind": k.Kind + "List", "apiVersion": apiVersion(k),
		"metadata": metav1.ListMeta{ResourceVersion: strconv.Itoa(s.version)}, "items": items,
	}
}

func (s *Server) get(info *request.RequestInfo) (client.Object, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if o := s.stores[info.Resource].objects[client.ObjectKey{Namespace: info.Namespace, Name: info.Name}]; o != nil {
		return o, nil
	}
	return nil, apierrors.NewNotFound(groupResource(info), info.Name)
}

// review says whose token it is, for the audience of the gateway only.
func (s *Server) review(body io.Reader) (any, error) {
	review := &authenticationv1.TokenReview{}
	if err := json.NewDecoder(body).Decode(review); err != nil {
		return nil, apierrors.NewBadRequest(err.Error())
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if pod := s.tokens[review.Spec.Token]; pod != nil {
		review.Status = authenticationv1.TokenReviewStatus{Authenticated: true, Audiences: []string{v1alpha1.TokenAudience}, User: authenticationv1.UserInfo{
			Username: serviceaccount.MakeUsername(pod.Namespace, "default"),
			Extra: map[string]authenticationv1.ExtraValue{
				serviceaccount.PodNameKey: {pod.Name}, serviceaccount.PodUIDKey: {string(pod.UID)},
			},
		}}
	}
	return review, nil
}

// permit says that everybody may do everything. It reads protobuf, too, in which clients write Kinds of Kubernetes.
func permit(body io.Reader) (any, error) {
	text, err := io.ReadAll(body)
	if err != nil {
		return nil, apierrors.NewBadRequest(err.Error())
	}
	review := &authorizationv1.SubjectAccessReview{}
	if _, _, err := clientgoscheme.Codecs.UniversalDeserializer().Decode(text, nil, review); err != nil {
		return nil, apierrors.NewBadRequest(err.Error())
	}
	review.SetGroupVersionKind(authorizationv1.SchemeGroupVersion.WithKind("SubjectAccessReview"))
	review.Status.Allowed = true
	return review, nil
}

// patch takes the gateway's part of a Session's status, for the version that it was made from.
func (s *Server) patch(body io.Reader, info *request.RequestInfo) (any, error) {
	patch := &v1alpha1.Session{}
	if err := json.NewDecoder(body).Decode(patch); err != nil {
		return nil, apierrors.NewBadRequest(err.Error())
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	key := client.ObjectKey{Namespace: info.Namespace, Name: info.Name}
	have, ok := s.stores[info.Resource].objects[key].(*v1alpha1.Session)
	switch {
	case !ok:
		return nil, apierrors.NewNotFound(groupResource(info), info.Name)
	case patch.ResourceVersion != have.ResourceVersion || patch.UID != have.UID:
		return nil, apierrors.NewConflict(groupResource(info), info.Name, errors.New("it has changed"))
	}
	after := have.DeepCopy()
	after.Status.Usage, after.Status.CredentialsInUse, after.Status.LastActivityTime = patch.Status.Usage, patch.Status.CredentialsInUse, patch.Status.LastActivityTime
	if err := s.put(after); err != nil {
		return nil, err
	}
	return s.stores[info.Resource].objects[key], nil
}

// renew takes a Lease, by which the gateway sees how far behind its watches are.
func (s *Server) renew(body io.Reader) (any, error) {
	lease := &coordinationv1.Lease{}
	if err := json.NewDecoder(body).Decode(lease); err != nil {
		return nil, apierrors.NewBadRequest(err.Error())
	}
	return lease, s.Put(lease)
}

func groupResource(info *request.RequestInfo) schema.GroupResource {
	return schema.GroupResource{Group: info.APIGroup, Resource: info.Resource}
}

func refuse(w http.ResponseWriter, err error) {
	var status apierrors.APIStatus
	if !errors.As(err, &status) {
		status = apierrors.NewInternalError(err)
	}
	s := status.Status()
	write(w, int(s.Code), s)
}

func write(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // who asked has gone
}
