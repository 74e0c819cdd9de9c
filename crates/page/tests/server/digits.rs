//! What the model sees in a drawing.

use std::{collections::BTreeMap, fs};

use native::{Isa, Scorer, probabilities};
use picture::Picture;
use run_folder::{CHECKPOINTS, FINAL_MODEL, ServerState, seal};
use serde_json::Value;
use weights::SIMPLE_CNN;

use crate::client::{Page, Reply, write};

/// A drawing with a bar for each of these columns: dark ink on white.
fn bars(columns: &[usize]) -> Vec<u8> {
    let (width, height) = (300, 200);
    let is_ink = |x: usize, y: usize| (40..160).contains(&y) && columns.iter().any(|&at| (at..at + 14).contains(&x));
    let pixel = |i: usize| if is_ink(i % width, i / width) { 0 } else { 255 };
    Picture::new(width, height, (0..width * height).map(pixel).collect()).png()
}

fn draw(page: &Page, png: &[u8]) -> Reply {
    page.ask("POST /runs/0/digits", &format!("{}Content-Type: image/png\r\n", page.pass()), png)
}

/// A model after so many rounds, or the final one.
fn train(page: &Page, seed: u64, round: Option<u32>) {
    let metadata = round.map(|round| ("round".to_owned(), round.to_string()));
    let bytes = seal::seal(&SIMPLE_CNN.init(seed), &ServerState::default(), BTreeMap::from_iter(metadata));
    let name = round.map_or(FINAL_MODEL.into(), |round| format!("{CHECKPOINTS}/round-{round:03}.safetensors"));
    write(page.folder().join(name), bytes);
}

#[test]
fn the_newest_model_answers_for_each_digit_from_left_to_right() {
    let page = Page::new();
    let drawing = bars(&[60, 140, 220]);
    let none = draw(&page, &drawing);
    assert_eq!(none.status, 409);
    assert!(none.json()["error"].as_str().unwrap().starts_with("there is no model yet: "));
    for (seed, round) in [(1, Some(1)), (2, Some(2)), (3, None)] {
        train(&page, seed, round);
        let reply = draw(&page, &drawing);
        assert_eq!(reply.status, 200, "{}", reply.text());
        let answer = reply.json();
        assert_eq!(answer["round"], round.map_or(Value::Null, Value::from));
        let model = SIMPLE_CNN.init(seed);
        assert_eq!(answer["model_sha256"], model.sha256());
        let digits = answer["digits"].as_array().unwrap();
        let expect = picture::digits(&picture::read(&drawing).unwrap());
        assert_eq!((digits.len(), expect.len()), (3, 3));
        for (digit, expect) in digits.iter().zip(expect) {
            assert_eq!(
                (digit["place"]["x"].as_u64(), digit["place"]["height"].as_u64()),
                (Some(expect.place.x as u64), Some(expect.place.height as u64))
            );
            let scores = Scorer::new(Isa::best(), &model).scores(&expect.pixels);
            let told: Vec<f64> =
                digit["probabilities"].as_array().unwrap().iter().map(|p| p.as_f64().unwrap()).collect();
            assert_eq!(told, probabilities(&scores[0]), "bit for bit");
            assert_eq!(digit["label"].as_u64().unwrap() as usize, native::best(&scores[0]));
            use base64::{Engine, prelude::BASE64_STANDARD};
            let seen = digit["seen"].as_str().unwrap().strip_prefix("data:image/png;base64,").unwrap();
            let seen = picture::read(&BASE64_STANDARD.decode(seen).unwrap()).unwrap();
            assert_eq!((seen.width(), seen.height(), seen.pixels()), (28, 28, &*expect.pixels));
        }
        let places: Vec<u64> = digits.iter().map(|digit| digit["place"]["x"].as_u64().unwrap()).collect();
        assert!(places.is_sorted(), "{places:?}");
    }
}

#[test]
fn a_picture_without_a_digit_a_file_that_is_none_and_one_that_is_too_large_are_told_apart() {
    let page = Page::new();
    train(&page, 1, None);
    let whole = bars(&[60]);
    let mut huge = whole.clone();
    huge[16..24].copy_from_slice(&[0, 1, 0, 0, 0, 1, 0, 0]);
    for (png, status, says) in [
        (bars(&[]), 422, "the picture is blank: there is no digit on it"),
        (whole[..60].to_vec(), 422, "the picture cannot be used: it is damaged"),
        (b"GIF89a".to_vec(), 422, "this is no PNG file"),
        (b"II*\0\x08\0\0\0".to_vec(), 422, "this is no PNG file"),
        (huge, 413, "the picture has 65536 by 65536 pixels, more than the 4000000 that are read here"),
        (vec![0; (1 << 20) + 1], 413, "the picture has more than 1048576 bytes"),
    ] {
        let reply = draw(&page, &png);
        assert_eq!(reply.status, status, "{}", reply.text());
        let error = reply.json()["error"].as_str().unwrap().to_owned();
        assert!(error.starts_with(says), "{error}");
    }
    assert_eq!(page.ask("POST /runs/0/digits", &page.pass(), &whole).status, 415);
    assert_eq!(page.get("/runs/0/digits").status, 405);
    assert_eq!(draw(&page, &whole).status, 200);
    fs::write(page.folder().join(FINAL_MODEL), "damaged").unwrap();
    let damaged = draw(&page, &whole);
    assert!(damaged.status == 409 && damaged.text().contains(FINAL_MODEL), "{}", damaged.text());
}
