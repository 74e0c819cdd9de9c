//! `trainer predict`, with a model that the tests train on digits that the program draws itself, and pictures that are not
//! of that kind: `scripts/draw-digits` drew them.

mod support;

use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
    path::{Path, PathBuf},
};

use dataset::Split;
use serde_json::Value;
use support::{Place, id, json_lines, succeed};

/// Enough to learn from, in two rounds, to be right about most of the pictures.
const SAMPLES: usize = 6000;
/// Where a [`trained`] place has the samples.
const DATA: &str = "data/generated";

fn digits() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/digits")
}

/// A place with a model in `run`.
fn trained() -> Place {
    let place = Place::new();
    dataset::draw_all(&place.path(DATA), [SAMPLES, 1000], &mut |_, _| ()).unwrap();
    let drawn = dataset::load(&place.path(DATA), Split::Train).unwrap();
    place.receive_of(id(&drawn.name, "00".repeat(32)), &drawn.samples, 1000, &[("one", 0, SAMPLES)]);
    let run = ["--dir", "chunks", "--run-dir", "run", "--rounds", "2", "--partitions", "2", "--test-data", DATA];
    place.says(&run);
    place
}

/// The digit that a picture's name begins with.
fn drawn(file: &str) -> u64 {
    u64::from(Path::new(file).file_name().unwrap().as_encoded_bytes()[0] - b'0')
}

#[test]
fn pictures_of_many_kinds_are_recognised_and_explained() {
    let place = trained();
    let said = place.says(&["predict", digits().to_str().unwrap(), "--json", "--explain", "seen", "--model", "run"]);
    let lines = json_lines(&said);
    assert_eq!(lines.len(), 20);
    let is_right = |line: &&Value| line["label"] == drawn(line["file"].as_str().unwrap());
    let right = lines.iter().filter(is_right).count();
    assert!(right >= 17, "{right} of 20:\n{said}");
    for line in &lines {
        let sum: f64 = line["probabilities"].as_array().unwrap().iter().map(|p| p.as_f64().unwrap()).sum();
        assert!((sum - 1.0).abs() < 1e-9 && line["probability"].as_f64().unwrap() > 0.1, "{line}");
    }
    let seen = place.names("seen");
    assert_eq!(seen.len(), 20);
    for name in seen {
        let picture = picture::read(&fs::read(place.path("seen").join(name)).unwrap()).unwrap();
        assert_eq!((picture.width(), picture.height()), (568, 280));
    }

    // The test set itself is what `evaluate` says of it.
    let test_images = format!("{DATA}/t10k-images-idx3-ubyte");
    let said = place.says(&["predict", &test_images, "--json", "--model", "run"]);
    let labels = dataset::load(&place.path(DATA), Split::Test).unwrap().samples.labels;
    let right = json_lines(&said).into_iter().enumerate().filter(|(index, line)| {
        assert_eq!(line["index"], *index);
        line["label"] == labels[*index]
    });
    let accuracy = place.summary("run")["test_accuracy"].as_f64().unwrap();
    assert_eq!(right.count(), (accuracy * labels.len() as f64).round() as usize);

    several_digits(&place);
    the_page_says_the_same(&place, &lines);

    // For people.
    let one = digits().join("0-pen.png");
    let one = one.to_str().unwrap();
    let said = place.says(&["predict", one, "--model", "run"]);
    assert!(said.starts_with(&format!("{one}  {}  ", drawn(one))) && said.contains(" %  then "), "{said}");
}

/// What the page answers to a picture is what was predicted of it, to the bit.
fn the_page_says_the_same(place: &Place, predicted: &[Value]) {
    let options = page::Options { listen: ([127, 0, 0, 1], 0).into(), token_file: None };
    let server = page::Server::start(&options, vec![page::Run::new("run", &place.path("run"))]).unwrap();
    let (host, token) = server.address().strip_prefix("http://").unwrap().split_once("/?token=").unwrap();
    let (_, port) = host.split_once(':').unwrap();
    let mut compared = 0;
    for line in predicted {
        let png = fs::read(line["file"].as_str().unwrap()).unwrap();
        if !png.starts_with(b"\x89PNG") {
            continue;
        }
        let mut stream = TcpStream::connect(host).unwrap();
        let head = format!("Host: {host}\r\nCookie: tributary-{port}={token}\r\nContent-Type: image/png\r\n");
        let rest = format!("Content-Length: {}\r\nConnection: close\r\n\r\n", png.len());
        stream.write_all(&[format!("POST /runs/0/digits HTTP/1.1\r\n{head}{rest}").as_bytes(), &png].concat()).unwrap();
        let mut said = String::new();
        stream.read_to_string(&mut said).unwrap();
        if said.starts_with("HTTP/1.1 413 ") {
            continue; // Photographs are larger than a drawing may be.
        }
        assert!(said.starts_with("HTTP/1.1 200 "), "{line}: {said}");
        let answer: Value = serde_json::from_str(said.split_once("\r\n\r\n").unwrap().1).unwrap();
        let digits = answer["digits"].as_array().unwrap();
        assert_eq!(digits.len(), 1, "{said}");
        for field in ["label", "probabilities"] {
            assert_eq!(digits[0][field], line[field], "{line}");
        }
        assert_eq!(answer["model_sha256"], place.summary("run")["model_sha256"]);
        compared += 1;
    }
    assert!(compared >= 14, "{compared}");
}

/// Two pictures as one, the second on the right.
fn beside(left: &str, right: &str) -> Vec<u8> {
    let [left, right] = [left, right].map(|name| picture::read(&fs::read(digits().join(name)).unwrap()).unwrap());
    assert_eq!(left.height(), right.height());
    let rows = left.pixels().chunks(left.width()).zip(right.pixels().chunks(right.width()));
    let pixels = rows.flat_map(|(left, right)| [left, right].concat()).collect();
    picture::Picture::new(left.width() + right.width(), left.height(), pixels).png()
}

/// A picture of two digits, told to people and to programs, and explained.
fn several_digits(place: &Place) {
    fs::write(place.path("05.png"), beside("0-pen.png", "5-pen.png")).unwrap();
    let predict = ["predict", "05.png", "--model", "run"];
    let said = place.says(&predict);
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines.len(), 2, "{said}");
    for (line, (index, label)) in lines.iter().zip([(0, 0), (1, 5)]) {
        assert!(line.starts_with(&format!("05.png[{index}]  {label}  ")) && line.contains(" %  at "), "{said}");
    }
    let said = place.says(&[&predict[..], &["--json", "--explain", "both"]].concat());
    let lines = json_lines(&said);
    assert_eq!(lines.len(), 2, "{said}");
    for (index, line) in lines.iter().enumerate() {
        assert_eq!((&line["file"], &line["index"]), (&"05.png".into(), &index.into()));
        let side = |name: &str| line["place"][name].as_u64().unwrap();
        assert_eq!(side("x") / 400, index as u64, "{line}");
        assert!(
            side("x") + side("width") <= 400 * (index as u64 + 1) && (240..300).contains(&side("height")),
            "{line}"
        );
    }
    assert_eq!((&lines[0]["label"], &lines[1]["label"]), (&0.into(), &5.into()));
    assert_eq!(place.names("both"), ["05.png_0.png", "05.png_1.png"]);
}

/// On Linux alone may a name be any bytes.
#[cfg(target_os = "linux")]
#[test]
fn a_name_that_is_not_utf_8_is_told_as_well_as_can_be() {
    use std::{ffi::OsStr, os::unix::ffi::OsStrExt};

    let place = Place::trained();
    let name = OsStr::from_bytes(b"0-\xff.png");
    fs::copy(digits().join("0-pen.png"), place.path("run").with_file_name(name)).unwrap();
    let mut predict = place.command(&["predict", "--model", "run", "--json", "--explain", "seen"]);
    let said = succeed(predict.arg(name));
    let [line] = &json_lines(&said)[..] else { panic!("{said}") };
    assert_eq!((&line["file"], &line["index"]), (&"0-\u{fffd}.png".into(), &Value::Null));
    assert!(place.path("seen/0-_.png.png").exists(), "{said}");
}

#[test]
fn a_folder_gives_pictures_of_every_ending_and_not_what_macos_left() {
    let place = Place::trained();
    fs::create_dir(place.path("scans")).unwrap();
    for (from, to) in [("4-photo.jpg", "a.jfif"), ("4-photo.jpg", "b.jpe"), ("0-pen.png", "c.PNG")] {
        fs::copy(digits().join(from), place.path("scans").join(to)).unwrap();
    }
    fs::write(place.path("scans/._a.png"), b"what a Finder keeps").unwrap();
    let said = place.says(&["predict", "scans", "--model", "run"]);
    let files: Vec<_> = said.lines().map(|line| line.split("  ").next().unwrap()).collect();
    assert_eq!(files, ["scans/a.jfif", "scans/b.jpe", "scans/c.PNG"], "{said}");
    // Whoever names such a file means it.
    let line = "`scans/._a.png` is no picture that can be read";
    place.fails(&["predict", "scans/._a.png", "--model", "run"], 65, line);
}

#[test]
fn files_that_hold_no_digit_are_told_in_one_line_each_and_the_others_go_on() {
    let place = Place::trained();
    let whole = fs::read(digits().join("0-pen.png")).unwrap();
    fs::create_dir(place.path("mixed")).unwrap();
    fs::create_dir(place.path("empty")).unwrap();
    let blank = picture::Picture::new(50, 50, vec![255; 2500]).png();
    for (name, bytes) in [
        ("a.png", &b"hello"[..]),
        ("b.png", &whole[..100]),
        ("c.png", &blank),
        ("d.png", &whole),
        ("e.txt", b"not looked at"),
    ] {
        fs::write(place.path("mixed").join(name), bytes).unwrap();
    }
    let output = place.command(&["predict", "mixed", "--model", "run"]).output().unwrap();
    let (stdout, stderr) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert_eq!(output.status.code(), Some(65));
    assert!(stdout.starts_with("mixed/d.png  ") && stdout.lines().count() == 1, "{stdout}");
    let lines: Vec<&str> = stderr.lines().collect();
    assert_eq!(lines[0], "trainer: `mixed/a.png` is no picture that can be read, and no IDX file; save it as PNG");
    assert!(lines[1].starts_with("trainer: `mixed/b.png` cannot be used: it is damaged: "), "{}", lines[1]);
    assert_eq!(lines[2], "trainer: `mixed/c.png` is blank: there is no digit on it");
    assert_eq!(lines[3..], ["trainer: 3 of 4 files held no digit that could be read"]);

    let predict = |path: &str, code, expect: &str| place.fails(&["predict", path, "--model", "run"], code, expect);
    predict("absent.png", 74, "failed to read `absent.png`");
    predict("empty", 65, "there is no picture in `empty`");
    predict("mixed/e.txt", 65, "`mixed/e.txt` is no picture that can be read, and no IDX file");
    fs::write(place.path("short-idx"), [0, 0, 8, 3, 0, 0, 0, 1, 0, 0, 0, 28, 0, 0, 0, 28, 7]).unwrap();
    let line = "`short-idx` is 17 bytes long, shorter than the 800 bytes that its header promises (1 sample)";
    predict("short-idx", 65, line);
    place.fails(&["predict", "mixed/d.png", "--model", "absent"], 74, "there is no model `absent`; name a ");
}
