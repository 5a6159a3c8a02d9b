import { render } from "preact";
import "./style/page.css";
import { App } from "./view/App";

const root = document.querySelector<HTMLMetaElement>('meta[name="api-root"]')?.content ?? "";
render(<App root={root} />, document.getElementById("app")!);
