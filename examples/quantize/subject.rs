//! The model that is made smaller, and what is learnt of it.

use std::error::Error;
use std::path::{Path, PathBuf};

use dino_llm::dino_models::arch::Registry;
use dino_llm::dino_models::format::ModelFile;
use dino_llm::dino_quant::calibration::Calibration;
use dino_llm::quantize::{
    Calibrator, Cut, HessianOptions, Hessians, Int8Options, Scaling, ScalingSource, calibrate_int8,
    read_imatrix, write_imatrix,
};
use dino_llm::{Int8, Model, ModelBuilder};

use crate::report::Bar;
use crate::{Arguments, read};

/// The model, without the parts that go.
pub(crate) struct Subject<'a> {
    arguments: &'a Arguments,
    path: PathBuf,
    cuts: Vec<Cut>,
}

impl<'a> Subject<'a> {
    /// Finds the parts that go, one after the other: each time, the model that is left says what matters.
    pub(crate) fn new(arguments: &'a Arguments, path: PathBuf) -> Result<Self, Box<dyn Error>> {
        let mut subject = Self {
            arguments,
            path,
            cuts: Vec::new(),
        };
        let asked = arguments.prune.iter();
        for prune in asked.filter(|prune| Cut::is_asked_by(prune)) {
            if !arguments.imatrix.is_empty() {
                let hint = "a model that loses parts is watched anew: give a text with --calibration, not --imatrix";
                return Err(hint.into());
            }
            let text = arguments.calibration.as_deref();
            let calibration = text.map(|text| subject.calibrate(text)).transpose()?;
            let cut = Cut::find(&subject.open()?, prune, calibration.as_ref())?;
            eprintln!("{}", cut.summary());
            subject.cuts.push(cut);
        }
        Ok(subject)
    }

    /// The file anew.
    pub(crate) fn open(&self) -> Result<ModelFile, Box<dyn Error>> {
        let mut file = Registry::default().open(&self.path)?;
        self.cuts.iter().try_for_each(|cut| cut.apply(&mut file))?;
        Ok(file)
    }

    /// What matters, from a file or from a text.
    pub(crate) fn calibration(&self) -> Result<Option<Calibration>, Box<dyn Error>> {
        let arguments = self.arguments;
        if let Some((first, others)) = arguments.imatrix.split_first() {
            let mut calibration = read_imatrix(first)?;
            for other in others {
                calibration.merge(&read_imatrix(other)?);
            }
            return Ok(Some(calibration));
        }
        let Some(text) = &arguments.calibration else {
            return Ok(None);
        };
        let calibration = self.calibrate(text)?;
        if let Some(path) = &arguments.save_imatrix {
            write_imatrix(path, &calibration)?;
        }
        Ok(Some(calibration))
    }

    /// What the model sees while it reads a text.
    fn calibrate(&self, path: &Path) -> Result<Calibration, Box<dyn Error>> {
        let text = read(path)?;
        let mut calibrator = Calibrator::new(self.builder(), self.open()?, 512)?;
        let mut progress = Bar::new("calibrating");
        calibrator.read(path, &text, self.arguments.chunks, |done, all| {
            progress.show(done as u64, all as u64, "");
        })?;
        Ok(calibrator.finish())
    }

    /// How channels of inputs go together, for what asks for it and if there is a text.
    pub(crate) fn hessians(
        &self,
        calibration: Option<&Calibration>,
    ) -> Result<Option<Hessians>, Box<dyn Error>> {
        let arguments = self.arguments;
        let is_wanted = arguments.gptq || arguments.awq;
        let (Some(text), Some(calibration)) = (&arguments.calibration, calibration) else {
            return Ok(None);
        };
        if !is_wanted {
            return Ok(None);
        }
        let options = HessianOptions {
            chunks: arguments.chunks,
            ..HessianOptions::default()
        };
        let (builder, file, text) = (self.builder(), self.open()?, read(text)?);
        let hessians = Hessians::new(builder, file, &text, calibration, options)?;
        Ok(Some(hessians))
    }

    /// The factors of the channels.
    pub(crate) fn scaling(
        &self,
        source: ScalingSource<'_>,
    ) -> Result<Option<Scaling>, Box<dyn Error>> {
        if !self.arguments.awq {
            return Ok(None);
        }
        if source.calibration.inputs.is_empty() {
            return Err("--awq has to know what matters: give --calibration or --imatrix".into());
        }
        let mut progress = Bar::new("scaling");
        let scaling = Scaling::find(source, |done, all| {
            progress.show(done as u64, all as u64, "");
        })?;
        let left = scaling
            .found
            .iter()
            .map(|f| f.scales.error / f.scales.plain_error);
        let saved = 100.0 * (1.0 - left.sum::<f64>() / scaling.found.len().max(1) as f64);
        eprintln!(
            "{} of {} inputs scaled, what reads them loses {saved:.0} % less on average",
            scaling.found.len(),
            scaling.groups
        );
        Ok(Some(scaling))
    }

    /// The int8 mode that the file is to keep.
    pub(crate) fn int8(&self) -> Result<Option<Int8>, Box<dyn Error>> {
        let arguments = self.arguments;
        let (Some(ranges), Some(text)) = (arguments.int8, &arguments.calibration) else {
            return Ok(None);
        };
        let options = Int8Options {
            ranges,
            symmetric: arguments.symmetric,
            smooth: (!arguments.no_smooth).then_some(arguments.smooth),
            chunks: arguments.chunks,
            ..Int8Options::default()
        };
        let mut progress = Bar::new("finding int8 ranges");
        let report = |done, all| progress.show(done as u64, all as u64, "");
        let (builder, open) = (self.builder(), || self.open());
        let int8 = calibrate_int8(&builder, open, &read(text)?, options, report)?;
        let (fixed, all) = (int8.fixed(), int8.layers().len());
        eprintln!("{fixed} of {all} inputs have fixed int8 ranges");
        Ok(Some(int8))
    }

    fn builder(&self) -> ModelBuilder {
        Model::builder().threads(self.arguments.threads)
    }
}
