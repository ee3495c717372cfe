package main

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"carillon/app/middleware"
	"carillon/db"
	"carillon/jobs"
)

// newMetrics makes the registry for Prometheus: gauges from the database and counters of this process.
func newMetrics(database *db.DB, now func() time.Time, scheduler *jobs.Scheduler) *prometheus.Registry {
	r := prometheus.NewRegistry()
	r.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		&rowMetrics{database: database, now: now})
	if scheduler != nil {
		r.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "carillon_ledger_holes_total", Help: "Due times found without a row. It must stay 0.",
		}, func() float64 { return float64(scheduler.Gaps.Load()) }))
	}
	return r
}

// rowMetrics are gauges of the database, which are read at each scrape.
type rowMetrics struct {
	database *db.DB
	now      func() time.Time
	last     middleware.Shared[*db.Gauges]
}

var (
	sessionsMetric = prometheus.NewDesc("carillon_sessions", "Sessions that are not closed, by status.",
		[]string{"status"}, nil)
	endedMetric = prometheus.NewDesc("carillon_executions_last_hour",
		"Executions that ended within the last hour, by status.", []string{"status"}, nil)
	overdueMetric = prometheus.NewDesc("carillon_schedule_overdue_seconds",
		"How late the longest due automation is that no scheduler has taken.", nil, nil)
	enabledMetric = prometheus.NewDesc("carillon_automations_enabled", "Automations that are switched on, by trigger.",
		[]string{"trigger"}, nil)
)

// Describe implements prometheus.Collector.
func (m *rowMetrics) Describe(ch chan<- *prometheus.Desc) { prometheus.DescribeByCollect(m, ch) }

// Collect implements prometheus.Collector.
func (m *rowMetrics) Collect(ch chan<- prometheus.Metric) {
	g, err := m.last.Get(func() (*db.Gauges, error) {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		return db.ReadGauges(ctx, m.database, m.now())
	})
	if err != nil {
		ch <- prometheus.NewInvalidMetric(sessionsMetric, err)
		return
	}
	gauge := func(d *prometheus.Desc, value float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
	}
	for status, n := range g.Sessions {
		gauge(sessionsMetric, float64(n), status)
	}
	for status, n := range g.Ended {
		gauge(endedMetric, float64(n), status)
	}
	for trigger, n := range g.Enabled {
		gauge(enabledMetric, float64(n), trigger)
	}
	gauge(overdueMetric, g.Overdue.Seconds())
}
