async (root, method, place, packed) => {
	const bytes = Uint8Array.from(atob(packed), c => c.charCodeAt(0));
	const methods = await new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).json();
	const [controls, view] = root.children;
	const own = 'data-lm-suppress-shortcuts="true"'; // arrow keys are for them, not for JupyterLab
	controls.innerHTML = `<label>method <select ${own}></select></label> &emsp; <label>ρ <input type="range" min="0" style="vertical-align:middle" ${own}> <output></output></label>`;
	const [menu, slider, shown] = controls.querySelectorAll("select, input, output");
	menu.append(...methods.map(m => new Option(m.name)));
	const draw = () => {
		const { ratio, view: views } = methods[menu.selectedIndex];
		slider.max = ratio.length - 1;
		shown.value = ratio[slider.value];
		view.innerHTML = views[slider.value];
	};
	slider.oninput = draw;
	menu.onchange = () => { // stay near the ratio shown
		const far = r => Math.abs(Math.log(parseFloat(r) / parseFloat(shown.value)));
		const { ratio } = methods[menu.selectedIndex];
		slider.max = ratio.length - 1;
		slider.value = ratio.indexOf(ratio.reduce((a, b) => far(b) < far(a) ? b : a));
		draw();
	};
	menu.selectedIndex = method;
	slider.max = methods[method].ratio.length - 1;
	slider.value = place;
	draw();
}
