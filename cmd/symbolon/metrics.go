package main

import (
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/symbolon/symbolon/protocol"
)

// metrics counts sessions and requests. Labels say mode, role and outcome,
// nothing of persons, peers or operators.
type metrics struct {
	registry *prometheus.Registry
	sessions *prometheus.CounterVec
	items    *prometheus.CounterVec
	bytes    *prometheus.CounterVec
	seconds  *prometheus.HistogramVec

	requests    *prometheus.CounterVec
	evaluations *prometheus.CounterVec
	answering   *prometheus.HistogramVec
	standing    prometheus.Counter
}

func newMetrics() *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(),
		sessions: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "symbolon_sessions_total", Help: "Attempts at sessions that ended."}, []string{"mode", "role", "outcome"}),
		items:    prometheus.NewCounterVec(prometheus.CounterOpts{Name: "symbolon_items_total", Help: "Items after padding of finished sessions."}, []string{"side"}),
		bytes:    prometheus.NewCounterVec(prometheus.CounterOpts{Name: "symbolon_bytes_total", Help: "Bytes of frames of finished sessions."}, []string{"direction"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "symbolon_session_seconds", Help: "Duration of finished sessions.",
			Buckets: prometheus.ExponentialBuckets(0.1, 3, 12)}, []string{"mode"}),
	}
	m.requests = prometheus.NewCounterVec(prometheus.CounterOpts{Name: "symbolon_requests_total", Help: "Requests of peers about one person."}, []string{"mode", "outcome"})
	m.evaluations = prometheus.NewCounterVec(prometheus.CounterOpts{Name: "symbolon_evaluations_total", Help: "Evaluations for peers, after padding."}, []string{"mode"})
	m.answering = prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "symbolon_request_seconds", Help: "Duration of answering a request.",
		Buckets: prometheus.ExponentialBuckets(0.0005, 2, 14)}, []string{"mode"})
	m.standing = prometheus.NewCounter(prometheus.CounterOpts{Name: "symbolon_standing_hits_total", Help: "New hits of standing lookups."})
	version := prometheus.NewGauge(prometheus.GaugeOpts{Name: "symbolon_build_info", Help: "1, with the version.",
		ConstLabels: prometheus.Labels{"version": buildVersion().Version, "commit": buildVersion().Commit}})
	version.Set(1)
	m.registry.MustRegister(m.sessions, m.items, m.bytes, m.seconds, m.requests, m.evaluations, m.answering, m.standing, version,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// watch adds how many streams the node has open.
func (m *metrics) watch(n *protocol.Node) {
	m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "symbolon_streams", Help: "Streams open now."},
		func() float64 { return float64(n.Live()) }))
}

func (m *metrics) observe(e protocol.Event) {
	if e.Request {
		m.requests.WithLabelValues(string(e.Mode), e.Outcome).Inc()
		m.evaluations.WithLabelValues(string(e.Mode)).Add(float64(e.PeerItems))
		m.answering.WithLabelValues(string(e.Mode)).Observe(e.Duration.Seconds())
		return
	}
	m.sessions.WithLabelValues(string(e.Mode), string(e.Role), e.Outcome).Inc()
	if e.Mode == "" { // it did not get far enough to have sizes
		return
	}
	m.items.WithLabelValues("own").Add(float64(e.Items))
	m.items.WithLabelValues("peer").Add(float64(e.PeerItems))
	m.bytes.WithLabelValues("sent").Add(float64(e.Sent.Bytes))
	m.bytes.WithLabelValues("received").Add(float64(e.Got.Bytes))
	m.seconds.WithLabelValues(string(e.Mode)).Observe(e.Duration.Seconds())
}

// server answers /healthz, /readyz and /metrics.
func (m *metrics) server(s *service) *http.Server {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { answer(w, http.StatusOK, "ok") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if !s.ready.Load() {
			answer(w, http.StatusServiceUnavailable, "starting or stopping")
			return
		}
		if _, err := s.app.store.OwnIdentities(); err != nil {
			answer(w, http.StatusServiceUnavailable, "the store does not answer")
			return
		}
		answer(w, http.StatusOK, "ready")
	})
	mux.Handle("GET /metrics", promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{}))
	return &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second,
		WriteTimeout: 30 * time.Second, IdleTimeout: time.Minute, MaxHeaderBytes: 16 << 10}
}

func answer(w http.ResponseWriter, code int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(code)
	_, _ = w.Write([]byte(text + "\n"))
}
