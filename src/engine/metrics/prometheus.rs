//! The counts as Prometheus reads them: the text format 0.0.4, under the names that vLLM uses, with `dino_` before them.
//!
//! <https://prometheus.io/docs/instrumenting/exposition_formats/>

use std::fmt::{self, Display, Write};

use super::{Histogram, MetricsSnapshot};

impl MetricsSnapshot {
    /// What `/metrics` of a server answers, as `text/plain; version=0.0.4`. `model` labels each line.
    ///
    /// Energy and peak memory are left out where the system does not tell them.
    pub fn to_prometheus(&self, model: &str) -> String {
        let mut page = Page::new(model);
        // Writing to a string does not fail.
        let _ = self.write(&mut page);
        page.text
    }

    fn write(&self, page: &mut Page) -> fmt::Result {
        page.gauge("num_requests_running", "Requests that run.", self.running)?;
        page.gauge("num_requests_waiting", "Requests that wait.", self.waiting)?;
        page.gauge(
            "kv_cache_usage_perc",
            "Share of the cache in use, 0 to 1.",
            self.cache_usage(),
        )?;
        page.gauge(
            "kv_cache_bytes",
            "Bytes of the cache in use.",
            self.cache_pages * self.cache_page_bytes,
        )?;
        page.gauge(
            "kv_cache_remembered_bytes",
            "Bytes of the cache that are remembered and make way.",
            self.cache_pages_remembered * self.cache_page_bytes,
        )?;
        self.write_counters(page)?;
        page.histogram(
            "request_queue_time_seconds",
            "From submission to the first step.",
            &self.queue_time,
        )?;
        page.histogram(
            "time_to_first_token_seconds",
            "From submission to the first token.",
            &self.time_to_first_token,
        )?;
        page.histogram(
            "request_prefill_time_seconds",
            "From the first step to the first token.",
            &self.prefill_time,
        )?;
        page.histogram(
            "request_decode_time_seconds",
            "From the first token to the last.",
            &self.decode_time,
        )?;
        page.histogram(
            "time_per_output_token_seconds",
            "From each token to the next.",
            &self.time_per_output_token,
        )?;
        page.histogram(
            "e2e_request_latency_seconds",
            "From submission to the end.",
            &self.end_to_end,
        )?;
        if let Some(joules) = self.energy.joules() {
            page.counter(
                "energy_joules_total",
                "Energy used while there was something to do.",
                joules,
            )?;
        }
        if let Some(bytes) = self.peak_memory {
            page.gauge(
                "peak_memory_bytes",
                "The most memory that the process has had.",
                bytes,
            )?;
        }
        Ok(())
    }

    fn write_counters(&self, page: &mut Page) -> fmt::Result {
        let finished = &self.finished;
        let reasons = [
            ("stop", finished.stop),
            ("length", finished.length),
            ("abort", finished.cancelled),
            ("deadline", finished.deadline),
            ("error", finished.failed),
        ];
        page.head(
            "request_success_total",
            "Requests that came to an end.",
            "counter",
        )?;
        for (reason, count) in reasons {
            page.line(
                "request_success_total",
                &format!(",finished_reason=\"{reason}\""),
                count,
            )?;
        }
        page.counter(
            "num_requests_refused_total",
            "Requests refused because too many waited.",
            self.refused,
        )?;
        page.counter(
            "num_preemptions_total",
            "Times that a request gave way.",
            self.preemptions,
        )?;
        page.counter(
            "prompt_tokens_total",
            "Tokens of prompts that were run.",
            self.prompt_tokens,
        )?;
        page.counter(
            "generation_tokens_total",
            "Tokens generated.",
            self.generated_tokens,
        )?;
        let queries = self.prompt_tokens + self.cached_tokens;
        page.counter("prefix_cache_queries_total", "Tokens of prompts.", queries)?;
        page.counter(
            "prefix_cache_hits_total",
            "Tokens of prompts that were known.",
            self.cached_tokens,
        )?;
        page.counter(
            "spec_decode_num_draft_tokens_total",
            "Tokens guessed ahead.",
            self.drafted_tokens,
        )?;
        page.counter(
            "spec_decode_num_accepted_tokens_total",
            "Guesses that were right.",
            self.accepted_tokens,
        )?;
        page.counter("engine_steps_total", "Forward passes.", self.steps)?;
        page.counter(
            "engine_busy_seconds_total",
            "Time with something to do.",
            self.busy.as_secs_f64(),
        )
    }
}

struct Page {
    text: String,
    label: String,
}

impl Page {
    fn new(model: &str) -> Self {
        let escaped = model
            .replace('\\', r"\\")
            .replace('"', "\\\"")
            .replace('\n', "\\n");
        Self {
            text: String::new(),
            label: format!("model_name=\"{escaped}\""),
        }
    }

    fn head(&mut self, name: &str, help: &str, kind: &str) -> fmt::Result {
        writeln!(self.text, "# HELP dino_{name} {help}")?;
        writeln!(self.text, "# TYPE dino_{name} {kind}")
    }

    fn line(&mut self, name: &str, labels: &str, value: impl Display) -> fmt::Result {
        let label = &self.label;
        writeln!(self.text, "dino_{name}{{{label}{labels}}} {value}")
    }

    fn gauge(&mut self, name: &str, help: &str, value: impl Display) -> fmt::Result {
        self.head(name, help, "gauge")?;
        self.line(name, "", value)
    }

    fn counter(&mut self, name: &str, help: &str, value: impl Display) -> fmt::Result {
        self.head(name, help, "counter")?;
        self.line(name, "", value)
    }

    fn histogram(&mut self, name: &str, help: &str, times: &Histogram) -> fmt::Result {
        self.head(name, help, "histogram")?;
        for (bound, count) in times.cumulative() {
            let bound = if bound.is_infinite() {
                "+Inf".into()
            } else {
                bound.to_string()
            };
            self.line(
                &format!("{name}_bucket"),
                &format!(",le=\"{bound}\""),
                count,
            )?;
        }
        self.line(&format!("{name}_sum"), "", times.sum())?;
        self.line(&format!("{name}_count"), "", times.count())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::{Energy, EngineMetrics};

    #[test]
    fn a_page_has_a_type_for_each_name_and_escaped_labels() {
        let metrics = EngineMetrics::new(10, 4096);
        {
            let mut counts = metrics.lock();
            counts.cache_pages = 5;
            counts.energy = Energy::Joules(2.5);
            counts.end_to_end.record(Duration::from_millis(20));
            counts.finished.stop = 3;
        }
        let page = metrics.snapshot().to_prometheus("a \"b\"\\c");
        let label = r#"model_name="a \"b\"\\c""#;
        for line in [
            format!("dino_kv_cache_usage_perc{{{label}}} 0.5"),
            format!("dino_energy_joules_total{{{label}}} 2.5"),
            format!("dino_request_success_total{{{label},finished_reason=\"stop\"}} 3"),
            format!("dino_e2e_request_latency_seconds_bucket{{{label},le=\"0.015\"}} 0"),
            format!("dino_e2e_request_latency_seconds_bucket{{{label},le=\"0.02\"}} 1"),
            format!("dino_e2e_request_latency_seconds_bucket{{{label},le=\"+Inf\"}} 1"),
            format!("dino_e2e_request_latency_seconds_count{{{label}}} 1"),
        ] {
            assert!(page.lines().any(|found| found == line), "{line}\n{page}");
        }
        for line in page.lines().filter(|line| !line.starts_with('#')) {
            let name = line.split('{').next().unwrap();
            let family = ["_bucket", "_sum", "_count"]
                .iter()
                .find_map(|end| name.strip_suffix(end))
                .unwrap_or(name);
            assert!(page.contains(&format!("# TYPE {family} ")), "{line}");
            line.rsplit(' ').next().unwrap().parse::<f64>().unwrap();
        }
    }
}
